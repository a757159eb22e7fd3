package engineio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// refuse answers a request with an error of the protocol.
func (srv *Server) refuse(w http.ResponseWriter, r *http.Request, code Code, context string) {
	srv.refuseWith(w, r, code, code.String(), context)
}

func (srv *Server) refuseWith(w http.ResponseWriter, r *http.Request, code Code, message, context string) {
	srv.report(&ConnectionError{Code: code, Message: message, Context: context, Request: r})
	status := http.StatusBadRequest
	if isUpgrade(r) {
		// As in Node's server: no JSON where a websocket was asked for.
		h := w.Header()
		h.Set("Content-Type", "text/html")
		h.Set("Connection", "close")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		fmt.Fprint(w, htmlText.Replace(message)) //nolint:errcheck // best effort
		return
	}
	if code == CodeForbidden {
		status = http.StatusForbidden
	}
	writeError(w, status, code, message)
}

// refuseUnavailable answers a request for a new session that there is no room for, now or ever.
func (srv *Server) refuseUnavailable(w http.ResponseWriter, r *http.Request, draining bool) {
	text := "too many sessions"
	if draining {
		text = "server shutting down"
	}
	w.Header().Set("Retry-After", "1")
	srv.report(&ConnectionError{Code: CodeForbidden, Message: text, Request: r})
	writeError(w, http.StatusServiceUnavailable, CodeForbidden, text)
}

var htmlText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (srv *Server) report(e *ConnectionError) {
	srv.stats.refused.Add(1)
	srv.opts.Logger.Debug().Int("code", int(e.Code)).Str("message", e.Message).Str("context", e.Context).
		Str("remote", e.Request.RemoteAddr).Msg("request refused")
	if srv.opts.OnConnectionError != nil {
		srv.opts.OnConnectionError(e)
	}
}

func writeError(w http.ResponseWriter, status int, code Code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%d,"message":%s}`, code, quote(message)) //nolint:errcheck // best effort
}

// quote makes a JSON string.
func quote(s string) string {
	b, _ := json.Marshal(s) //nolint:errcheck // a string can always be encoded
	return string(b)
}
