package httpapi

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// forwardedTLS stands for a connection that a trusted proxy took over TLS; what the proxy negotiated is
// not known here.
var forwardedTLS = &tls.ConnectionState{}

// behindProxies gives requests that come through trusted proxies the address of the client that the
// proxies saw, and a TLS state where the client spoke HTTPS. Everything after it, the log, the
// handshake's address and the cookie's Secure, then needs to know nothing of proxies.
func behindProxies(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !contains(trusted, peer.Addr()) {
			next.ServeHTTP(w, r)
			return
		}
		forwarded := r.WithContext(r.Context())
		if client, ok := clientBehind(trusted, r.Header.Values("X-Forwarded-For")); ok {
			// The client's port is not known; 0 keeps the form host:port.
			forwarded.RemoteAddr = net.JoinHostPort(client.String(), "0")
		}
		if r.TLS == nil && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
			forwarded.TLS = forwardedTLS
		}
		next.ServeHTTP(w, forwarded)
	})
}

// clientBehind walks the list from its end, where the nearest proxy wrote, and stops at the first
// address that is no trusted proxy: whatever stands before it is only what that client claims.
func clientBehind(trusted []netip.Prefix, headers []string) (netip.Addr, bool) {
	var client netip.Addr
	hops := strings.Split(strings.Join(headers, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		address, err := parseHop(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = address
		if !contains(trusted, address) {
			break
		}
	}
	return client, client.IsValid()
}

// parseHop reads an address with or without a port; some proxies add one.
func parseHop(hop string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr().Unmap(), nil
	}
	address, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	return address.Unmap(), err
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	address = address.Unmap()
	for _, p := range prefixes {
		if p.Contains(address) {
			return true
		}
	}
	return false
}
