"""Where other machines are: this machine's addresses, and multicast DNS."""
