package engineio

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// defaultMethods is what a preflight is answered when CORSOptions.Methods is empty.
const defaultMethods = "GET,HEAD,PUT,PATCH,POST,DELETE"

// apply sets the CORS headers of a response and reports whether the request was a preflight, which is
// thereby answered.
func (c *CORSOptions) apply(w http.ResponseWriter, r *http.Request) (done bool) {
	h := w.Header()
	if len(c.Origins) == 1 && c.Origins[0] == "*" && c.OriginFunc == nil {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && c.allowed(origin, r) {
			h.Set("Access-Control-Allow-Origin", origin)
		}
	}
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.ExposedHeaders) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.ExposedHeaders, ","))
	}
	if r.Method != http.MethodOptions {
		return false
	}
	methods := defaultMethods
	if len(c.Methods) > 0 {
		methods = strings.Join(c.Methods, ",")
	}
	h.Set("Access-Control-Allow-Methods", methods)
	if len(c.AllowedHeaders) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(c.AllowedHeaders, ","))
	} else {
		h.Add("Vary", "Access-Control-Request-Headers")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	if c.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(c.MaxAge/time.Second)))
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
	return true
}

func (c *CORSOptions) allowed(origin string, r *http.Request) bool {
	if c.OriginFunc != nil {
		return c.OriginFunc(origin, r)
	}
	return slices.Contains(c.Origins, origin) || slices.Contains(c.Origins, "*")
}
