// Package static holds the demo page and the dashboard, as they are served: plain
// HTML, CSS and JavaScript modules, with no build step between this folder and the
// browser.
//
// The pages need no inline script or style and load nothing from elsewhere, so that
// they can be served under the policy that [ContentSecurityPolicy] gives. The
// official Socket.IO client isn't part of them: they load it from
// /socket.io/socket.io.esm.min.js and say what to do when it isn't there.
package static

import "embed"

// ContentSecurityPolicy is the Content-Security-Policy header for everything in [FS].
// Images come from blob: URLs as well, because they arrive as binary events.
const ContentSecurityPolicy = "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' ws: wss:; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// FS is the content of this folder that is served, with index.html at its top. It is
// read only and safe for concurrent use.
//
//go:embed index.html dashboard.html css icons js
var FS embed.FS
