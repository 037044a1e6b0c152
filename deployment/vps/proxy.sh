# shellcheck shell=bash
# What a web server of the owner's must do in nginx's place (--no-nginx). Sourced by deploy_vps.sh.

print_proxy_snippets() {
  local host=${DOMAIN:-$ADDRESS}
  cat <<END

    The server listens on 127.0.0.1:$APP_PORT. A web server in front must end TLS, keep the Host header, pass
    WebSockets on, buffer nothing, wait 15 minutes for an answer, and set X-Forwarded-For. Limit requests there, too.

    Caddy, in /etc/caddy/Caddyfile:

      $host {
          request_body {
              max_size 8MB
          }
          reverse_proxy 127.0.0.1:$APP_PORT {
              flush_interval -1
          }
      }

    Apache 2.4.47 or newer, in the virtual host of $host (a2enmod proxy_http proxy_wstunnel headers ssl):

      ProxyPreserveHost On
      RequestHeader unset X-Forwarded-For
      RequestHeader set X-Forwarded-Proto https
      LimitRequestBody 8388608
      ProxyPass / http://127.0.0.1:$APP_PORT/ upgrade=websocket flushpackets=on timeout=900

END
}
