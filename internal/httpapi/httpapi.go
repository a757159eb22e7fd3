// Package httpapi is the server's HTTP side: health, metrics, the pages, the official browser client,
// and the mount of the Socket.IO endpoint, as routes of one Gin engine.
package httpapi

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/rs/zerolog"

	"holdfast/static"
)

// Options of New. IO, Path and Health are needed, everything else may be left out.
type Options struct {
	IO     http.Handler // the Socket.IO server
	Path   string       // where it is mounted, such as /socket.io/; the trailing slash does not matter
	Health *Health

	ClientDirs     []string       // where to look for the official client, the first that has it wins; none: not served
	Metrics        http.Handler   // answers /metrics; nil: no such route
	TrustedProxies []netip.Prefix // peers whose forwarding headers are believed

	Logger zerolog.Logger
}

// New returns the handler for everything that the server answers. It is safe for concurrent use and
// starts no goroutine.
func New(o Options) (http.Handler, error) {
	pages, err := loadPages(static.FS, static.ContentSecurityPolicy)
	if err != nil {
		return nil, err
	}

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	// Who the client is has been settled by behindProxies, for the Socket.IO endpoint as well.
	if err := r.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	r.Use(recovery(o.Logger))

	// The client's files come first: the endpoint's own path has none below it.
	if len(o.ClientDirs) > 0 {
		mountClient(r, o.Path, newClientFiles(o.ClientDirs, o.Logger))
	}
	Mount(r, o.Path, o.IO)

	logged := r.Group("/", requestLog(o.Logger))
	o.Health.mount(logged)
	if o.Metrics != nil {
		logged.GET("/metrics", gin.WrapH(o.Metrics))
	}
	pages.mount(logged)
	r.NoRoute(requestLog(o.Logger), notFound)
	r.NoMethod(requestLog(o.Logger), methodNotAllowed)

	return behindProxies(o.TrustedProxies, r), nil
}

// Mount routes every method of path, with and without its trailing slash, to io: a Socket.IO server in
// any Gin app. Middleware that is to wrap the handshake must be on r before.
func Mount(r gin.IRouter, path string, io http.Handler) {
	bare := "/" + strings.Trim(path, "/")
	serve := func(c *gin.Context) { io.ServeHTTP(c.Writer, c.Request) }
	r.Any(bare, serve)
	r.Any(bare+"/", serve)
}

func notFound(c *gin.Context) {
	c.String(http.StatusNotFound, "404: nothing is here\n")
}

func methodNotAllowed(c *gin.Context) {
	c.String(http.StatusMethodNotAllowed, "405: this method is not allowed here\n")
}
