package app

import (
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"holdfast/engineio"
	"holdfast/internal/config"
	"holdfast/socketio"
)

// socketOptions translates the configuration for the Socket.IO server. origins decides about CORS where
// the configuration turns it on for origins by name.
func socketOptions(c *config.Config, origins *allowedOrigins, logger zerolog.Logger) socketio.Options {
	o := socketio.DefaultOptions()
	o.ConnectTimeout = c.ConnectTimeout
	o.CleanupEmptyChildNamespaces = c.CleanupEmptyChildNamespaces
	o.ReceiveBuffer = int64(c.Limits.ReceiveBuffer)
	o.MaxAttachments = c.Limits.MaxAttachments
	o.MaxNamespacesPerConnection = c.Limits.MaxNamespacesPerConnection
	o.Logger = logger

	e := &o.Engine
	e.Transports = e.Transports[:0]
	for _, t := range c.Transports {
		e.Transports = append(e.Transports, engineio.Transport(t))
	}
	e.AllowUpgrades = c.AllowUpgrades
	e.PingInterval = c.PingInterval
	e.PingTimeout = c.PingTimeout
	e.UpgradeTimeout = c.UpgradeTimeout
	// A client that vanished is not to hold up a shutdown to its end, of which handlers may take the first half.
	e.CloseTimeout = min(e.CloseTimeout, c.Shutdown.Timeout/2)
	e.MaxPayload = int64(c.MaxPayload)
	e.MaxPacketsPerPayload = c.Limits.MaxPacketsPerPayload
	e.SendBuffer = int64(c.Limits.SendBuffer)
	e.MaxSessions = c.Limits.MaxSessions
	e.Cookie = cookie(c.Cookie)
	e.CORS = cors(c.CORS, origins)
	e.HTTPCompression = nil
	if c.HTTPCompression.Enabled {
		e.HTTPCompression = &engineio.CompressionOptions{Threshold: int(c.HTTPCompression.Threshold)}
	}
	if d := c.PerMessageDeflate; d.Enabled {
		e.PerMessageDeflate = &engineio.CompressionOptions{Threshold: int(d.Threshold), Level: d.Level}
	}
	e.Logger = logger
	return o
}

func cookie(c config.Cookie) *http.Cookie {
	if !c.Enabled {
		return nil
	}
	sameSite := map[string]http.SameSite{
		"lax":    http.SameSiteLaxMode,
		"strict": http.SameSiteStrictMode,
		"none":   http.SameSiteNoneMode,
	}
	return &http.Cookie{
		Name:     c.Name,
		Path:     c.Path,
		HttpOnly: c.HTTPOnly,
		SameSite: sameSite[c.SameSite],
		Secure:   c.Secure,
		MaxAge:   int(c.MaxAge / time.Second),
	}
}

func cors(c config.CORS, origins *allowedOrigins) *engineio.CORSOptions {
	if len(c.Origins) == 0 {
		return nil
	}
	o := &engineio.CORSOptions{
		Origins:        c.Origins,
		Methods:        c.Methods,
		AllowedHeaders: c.AllowedHeaders,
		ExposedHeaders: c.ExposedHeaders,
		Credentials:    c.Credentials,
		MaxAge:         c.MaxAge,
	}
	if byName(c.Origins) {
		origins.set(c.Origins)
		o.OriginFunc = origins.allow
	}
	return o
}

// byName reports whether CORS is on for origins by name: the only kind that can change in a running
// server, because "any" and "off" have answers of their own.
func byName(origins []string) bool {
	return len(origins) > 0 && !slices.Contains(origins, "*")
}

// allowedOrigins is a list of origins that can be replaced while requests are answered by it.
type allowedOrigins struct{ list atomic.Pointer[[]string] }

func (o *allowedOrigins) set(list []string) { o.list.Store(&list) }

func (o *allowedOrigins) allow(origin string, _ *http.Request) bool {
	list := o.list.Load()
	return list != nil && slices.Contains(*list, origin)
}
