# shellcheck shell=bash
# shellcheck disable=SC2034 # the parts share their variables
# nginx in front of the server: site, certificate, log rotation. Sourced by deploy_vps.sh, and by
# deployment/lint.sh for the rendering.

SITES=/etc/nginx/sites-available
TLS=$CONFIG/tls

# render TEMPLATE: the finished file on standard output.
render() {
  local listen="ssl" conditions=() condition script
  if [[ $HAS_HTTP2_DIRECTIVE == yes ]]; then conditions+=(HTTP2); else listen="ssl http2"; fi
  [[ $HAS_IPV6 == yes ]] && conditions+=(IPV6)
  [[ $TRUSTED == yes ]] && conditions+=(TRUSTED)
  script="s|@NAMES@|$(nginx_names)|; s|@PORT@|$HTTPS_PORT|; s|@LISTEN@|$listen|; s|@APP_PORT@|$APP_PORT|"
  script+="; s|@CERTIFICATE@|$CERTIFICATE|; s|@KEY@|$CERTIFICATE_KEY|"
  script+="; s|@PORT_SUFFIX@|$([[ $HTTPS_PORT == 443 ]] || printf ':%s' "$HTTPS_PORT")|"
  for condition in "${conditions[@]}"; do
    script+="; s|@$condition:@||"
  done
  sed -e "$script" -e '/@[A-Z0-9]*:@/d' "$1"
}

# nginx takes an IPv6 address in brackets.
nginx_names() {
  local name
  for name in $(server_names ' '); do
    if [[ $name == *:* ]]; then printf '[%s] ' "$name"; else printf '%s ' "$name"; fi
  done
}

# Facts of this machine that the templates ask for.
look_at_nginx() {
  local version
  version=$(nginx -v 2>&1 | sed 's|.*nginx/\([0-9.]*\).*|\1|')
  HAS_HTTP2_DIRECTIVE=no
  if [[ $(printf '%s\n1.25.1\n' "$version" | sort -V | head -n 1) == 1.25.1 ]]; then
    HAS_HTTP2_DIRECTIVE=yes # before, `http2` was a word of `listen`
  fi
  HAS_IPV6=no
  [[ ! -e /proc/net/if_inet6 ]] || HAS_IPV6=yes
}

# The site of $RELEASE, with the best certificate there is.
install_site() {
  look_at_nginx
  install -d -m 0755 "$WEBROOT"
  install -d -m 0750 -o www-data -g adm /var/log/nginx/orchestrator
  install -m 0644 "$RELEASE/deployment/logrotate/orchestrator-vps" /etc/logrotate.d/orchestrator-vps
  make_certificate
  choose_certificate
  put_site
  if [[ -n $DOMAIN && $TRUSTED == no ]]; then
    request_certificate && choose_certificate && put_site
  fi
  return 0
}

# nginx takes the files only when it finds them right; otherwise the former ones stay. It is reloaded even where
# nothing differs: an earlier run may have ended before that.
put_site() {
  local name work
  work=$(mktemp -d)
  for name in orchestrator-vps orchestrator-vps-http; do
    render "$RELEASE/deployment/nginx/$name.conf" >"$work/$name.conf"
    cmp -s "$work/$name.conf" "$SITES/$name.conf" && [[ -e /etc/nginx/sites-enabled/$name.conf ]] && continue
    [[ ! -e $SITES/$name.conf ]] || cp -p "$SITES/$name.conf" "$work/$name.before"
    install -m 0644 "$work/$name.conf" "$SITES/$name.conf"
    ln -sfn "$SITES/$name.conf" "/etc/nginx/sites-enabled/$name.conf"
  done
  if ! nginx -t -q; then
    for name in orchestrator-vps orchestrator-vps-http; do
      if [[ -e $work/$name.before ]]; then
        cp -p "$work/$name.before" "$SITES/$name.conf"
      else
        rm -f "/etc/nginx/sites-enabled/$name.conf"
      fi
    done
    rm -rf "$work"
    fail "nginx refuses the site; what it says is above." "Other sites on this machine may be in the way."
  fi
  rm -rf "$work"
  systemctl enable --quiet nginx
  if systemctl is-active --quiet nginx; then systemctl reload nginx; else systemctl start nginx; fi
}

# A certificate of our own. Enrolled desktops pin it, so with them it changes only when that is asked for.
make_certificate() {
  local name names=()
  if [[ -s $TLS/certificate.pem && $NEW_CERTIFICATE == no ]]; then
    certificate_fits && return 0
    if has_desktop; then
      warning "the certificate does not name all of: $(server_names ' ')"
      warning "a new one cuts enrolled desktops off until they enrol again; to make it: --new-certificate"
      return 0
    fi
  fi
  status "making a certificate for $(server_names ' ')"
  for name in $(server_names ' '); do
    if is_ip "$name"; then names+=("IP:$name"); else names+=("DNS:$name"); fi
  done
  install -d -m 0700 "$TLS"
  (
    umask 077
    IFS=,
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -sha256 -days 3650 -noenc \
      -subj "/CN=Orchestrator VPS" -addext "subjectAltName=${names[*]}" \
      -addext "extendedKeyUsage=serverAuth" \
      -keyout "$TLS/key.pem" -out "$TLS/certificate.pem.new" 2>/dev/null
  )
  mv "$TLS/certificate.pem.new" "$TLS/certificate.pem"
}

certificate_fits() {
  local name option
  for name in $(server_names ' '); do
    if is_ip "$name"; then option=-checkip; else option=-checkhost; fi
    openssl x509 -in "$TLS/certificate.pem" -noout "$option" "$name" | grep -q ' does match' || return 1
  done
}

is_ip() { [[ $1 == *:* || $1 =~ ^[0-9.]+$ ]]; }

has_desktop() { [[ $(/usr/local/bin/orchestrator-vps desktops --json 2>/dev/null) == *'"revoked_at": null'* ]]; }

choose_certificate() {
  local live=/etc/letsencrypt/live/$DOMAIN
  if [[ -n $DOMAIN && -e $live/fullchain.pem ]]; then
    CERTIFICATE=$live/fullchain.pem CERTIFICATE_KEY=$live/privkey.pem TRUSTED=yes
  else
    CERTIFICATE=$TLS/certificate.pem CERTIFICATE_KEY=$TLS/key.pem TRUSTED=no
  fi
}

# Let's Encrypt, proved through port 80. Its timer renews; nginx then reads the new one.
request_certificate() {
  local contact=(--register-unsafely-without-email)
  [[ -z $EMAIL ]] || contact=(--email "$EMAIL")
  status "asking for a certificate for $DOMAIN"
  certbot certonly --non-interactive --agree-tos "${contact[@]}" --webroot --webroot-path "$WEBROOT" \
    --domain "$DOMAIN" --deploy-hook "systemctl reload nginx" && return 0
  warning "no certificate for $DOMAIN: does the name point to this machine, and is port 80 open?"
  warning "the self-signed one is used until you run this script again"
  return 1
}

certificate_fingerprint() {
  openssl x509 -in "$CERTIFICATE" -noout -fingerprint -sha256 | sed 's/.*=//'
}
