package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/rs/zerolog"
)

// requestLog writes one line at debug for each request. It is not on the Socket.IO endpoint, which has
// log lines of its own and whose requests hang for as long as a ping interval.
func requestLog(logger zerolog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		if !logger.Debug().Enabled() {
			return
		}
		start := time.Now()
		c.Next()
		logger.Debug().
			Str("method", c.Request.Method).
			Str("path", c.Request.URL.Path).
			Int("status", c.Writer.Status()).
			Int("bytes", max(c.Writer.Size(), 0)).
			Dur("took", time.Since(start)).
			Str("remote", c.Request.RemoteAddr).
			Msg("http request")
	}
}

// recovery turns a panic into a log line and status 500. net/http's own way to abort passes.
func recovery(logger zerolog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(cause)
			}
			logger.Error().
				Str("method", c.Request.Method).
				Str("path", c.Request.URL.Path).
				Str("panic", fmt.Sprint(cause)).
				Bytes("stack", debug.Stack()).
				Msg("panic in an http handler")
			if !c.Writer.Written() {
				c.Header("Cache-Control", "no-store")
				c.String(http.StatusInternalServerError, "500: internal error\n")
			}
			c.Abort()
		}()
		c.Next()
	}
}
