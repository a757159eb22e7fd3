package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// validate checks what the type of a key alone doesn't say, and what keys ask of one another.
func (l *loader) validate(c *Config) {
	l.validateServer(c)
	l.validateProtocol(c)
	l.validateCookie(c.Cookie)
	l.validateCORS(c.CORS)
	if (c.Recovery.Enabled || c.Queues.Enabled) && c.Recovery.Durability == DurabilityDisk && c.DataDir == "" {
		l.reject("data_dir", "is needed for recovery.durability disk")
	}
	l.validateQueues(c)
	l.validateRecovery(c)
	l.validateLimits(c)
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		l.reject("tls.cert", "tls.cert and tls.key must be set together")
	}
	if n := c.PerMessageDeflate.Level; n < 1 || n > 9 {
		l.reject("per_message_deflate.level", "must be from 1 to 9")
	}
	l.atLeast("shutdown.delay", c.Shutdown.Delay, 0)
	l.atLeast("shutdown.timeout", c.Shutdown.Timeout, time.Millisecond)
}

func (l *loader) reject(key, format string, args ...any) {
	l.fail(l.places[key], key, format, args...)
}

func (l *loader) atLeast(key string, d, least time.Duration) {
	if d < least {
		l.reject(key, "%s is too short: the least is %s", formatDuration(d), formatDuration(least))
	}
}

func (l *loader) validateServer(c *Config) {
	if err := checkAddress(c.Listen); err != nil {
		l.reject("listen", "%v", err)
	}
	if c.DataDir == "" {
		l.reject("data_dir", "must name a directory")
	}
	if _, err := c.ProxyPrefixes(); err != nil {
		l.reject("trusted_proxies", "%v", err)
	}
}

func checkAddress(address string) error {
	if _, err := strconv.Atoi(address); err == nil {
		return fmt.Errorf("%q has no colon: write \":%s\"", address, address)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port, such as 127.0.0.1:3000 or [::1]:3000", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	return nil
}

// ProxyPrefixes parses trusted_proxies; a single address stands for itself alone.
func (c *Config) ProxyPrefixes() ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(c.TrustedProxies))
	for _, text := range c.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			address, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a range such as 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}

var pathForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/?$`)

// Paths that the server answers itself, so that the endpoint can't have them.
var takenPaths = []string{"/healthz", "/readyz", "/metrics"}

func (l *loader) validateProtocol(c *Config) {
	if !pathForm.MatchString(c.Path) {
		l.reject("path", "%q is not a path such as /socket.io/", c.Path)
	}
	for _, taken := range takenPaths {
		if strings.TrimSuffix(c.Path, "/") == taken {
			l.reject("path", "%q is taken by the server's own %s", c.Path, taken)
		}
	}
	if len(c.Transports) == 0 {
		l.reject("transports", "must name polling, websocket or both")
	}
	if duplicate, ok := firstDuplicate(c.Transports); ok {
		l.reject("transports", "names %s twice", duplicate)
	}
	// The protocol carries these two in whole milliseconds.
	l.atLeast("ping_interval", c.PingInterval, time.Millisecond)
	l.atLeast("ping_timeout", c.PingTimeout, time.Millisecond)
	l.atLeast("upgrade_timeout", c.UpgradeTimeout, time.Millisecond)
	l.atLeast("connect_timeout", c.ConnectTimeout, time.Millisecond)
	if c.MaxPayload < 1 {
		l.reject("max_payload", "must be at least 1 byte")
	}
	if c.ServeClient && c.ClientDir == "" {
		l.reject("client_dir", "must name a directory while serve_client is true")
	}
}

func firstDuplicate(items []string) (string, bool) {
	seen := map[string]bool{}
	for _, item := range items {
		if seen[item] {
			return item, true
		}
		seen[item] = true
	}
	return "", false
}

// A cookie's name and a header's name are tokens of RFC 9110 section 5.6.2.
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (l *loader) validateCookie(c Cookie) {
	if !token.MatchString(c.Name) {
		l.reject("cookie.name", "%q is not a name for a cookie", c.Name)
	}
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, "; ") {
		l.reject("cookie.path", "%q is not a path such as /", c.Path)
	}
	if c.SameSite == "none" && !c.Secure {
		l.reject("cookie.same_site", "none needs cookie.secure: browsers drop the cookie otherwise")
	}
	l.wholeSeconds("cookie.max_age", c.MaxAge)
}

func (l *loader) wholeSeconds(key string, d time.Duration) {
	l.atLeast(key, d, 0)
	if d%time.Second != 0 {
		l.reject(key, "%s is not a whole number of seconds", formatDuration(d))
	}
}

func (l *loader) validateCORS(c CORS) {
	for _, origin := range c.Origins {
		if err := checkOrigin(origin); err != nil {
			l.reject("cors.origins", "%v", err)
		}
		if origin == "*" && c.Credentials {
			l.reject("cors.origins", `"*" and cors.credentials exclude each other: browsers refuse the answer; list the origins by name`)
		}
	}
	l.tokens("cors.methods", c.Methods)
	l.tokens("cors.allowed_headers", c.AllowedHeaders)
	l.tokens("cors.exposed_headers", c.ExposedHeaders)
	l.wholeSeconds("cors.max_age", c.MaxAge)
}

func (l *loader) tokens(key string, names []string) {
	for _, name := range names {
		if !token.MatchString(name) {
			l.reject(key, "%q is not a name that HTTP allows", name)
		}
	}
}

func checkOrigin(origin string) error {
	if origin == "*" || origin == "null" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return fmt.Errorf("%q is not an origin such as https://example.com", origin)
	}
	if bare := u.Scheme + "://" + u.Host; bare != origin {
		return fmt.Errorf("%q is more than an origin: write %q", origin, bare)
	}
	return nil
}

func (l *loader) validateLimits(c *Config) {
	for _, bound := range []struct {
		key   string
		value int64
		least int64
	}{
		{"limits.send_buffer", int64(c.Limits.SendBuffer), 1},
		{"limits.receive_buffer", int64(c.Limits.ReceiveBuffer), 1},
		{"limits.max_attachments", int64(c.Limits.MaxAttachments), 1},
		{"limits.max_packets_per_payload", int64(c.Limits.MaxPacketsPerPayload), 1},
		{"limits.max_namespaces_per_connection", int64(c.Limits.MaxNamespacesPerConnection), 1},
		{"limits.max_sessions", int64(c.Limits.MaxSessions), 0},
		{"limits.max_connections", int64(c.Limits.MaxConnections), 0},
		{"limits.max_header_bytes", int64(c.Limits.MaxHeaderBytes), 1024},
	} {
		if bound.value < bound.least {
			l.reject(bound.key, "must be at least %d", bound.least)
		}
	}
	if c.Limits.SendBuffer < c.MaxPayload {
		l.reject("limits.send_buffer", "%s is less than max_payload, %s: a message of that size could never be passed on",
			c.Limits.SendBuffer, c.MaxPayload)
	}
	l.atLeast("limits.handshake_timeout", c.Limits.HandshakeTimeout, 10*time.Millisecond)
}

// minDiskBytes is the least byte bound of a log under which its store stays below 1.2 times of it on disk.
const minDiskBytes Size = 8 << 20

func (l *loader) validateRecovery(c *Config) {
	r := c.Recovery
	if !r.Enabled {
		return
	}
	if len(r.Namespaces) == 0 {
		l.reject("recovery.namespaces", "names no namespace: turn recovery.enabled off, or name one")
	}
	seen := map[string]bool{}
	for _, name := range r.Namespaces {
		switch {
		case !strings.HasPrefix(name, "/"):
			l.reject("recovery.namespaces", "%q does not begin with /", name)
		case seen[name]:
			l.reject("recovery.namespaces", "%q is named twice", name)
		}
		seen[name] = true
	}
	l.atLeast("recovery.window", r.Window, time.Second)
	l.atLeast("recovery.max_age", r.MaxAge, r.Window)
	for _, bound := range []struct {
		key          string
		value, least int64
	}{
		{"recovery.max_missed_events", int64(r.MaxMissedEvents), 1},
		{"recovery.max_missed_bytes", int64(r.MaxMissedBytes), 1},
		{"recovery.max_events", int64(r.MaxEvents), 0},
		{"recovery.max_bytes", int64(r.MaxBytes), 0},
	} {
		if bound.value < bound.least {
			l.reject(bound.key, "must be at least %d", bound.least)
		}
	}
	if r.Durability == DurabilityDisk && r.MaxBytes > 0 && r.MaxBytes < minDiskBytes {
		l.reject("recovery.max_bytes", "%s is too small: on a disk the least is %s, below which the store could not keep near it; 0 is no bound",
			r.MaxBytes, minDiskBytes)
	}
	if r.MaxMissedBytes >= c.Limits.SendBuffer {
		l.reject("recovery.max_missed_bytes", "%s is not less than limits.send_buffer, %s: what is handed over must fit in it",
			r.MaxMissedBytes, c.Limits.SendBuffer)
	}
}
