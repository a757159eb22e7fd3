package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
)

// probeTimeout bounds all checks of one /readyz together. A probe that asks every few seconds must have
// its answer before it asks again.
const probeTimeout = 2 * time.Second

// Check is one thing that must hold before the server takes traffic. Probe is called for every
// /readyz, possibly by several at once, and must honour its context.
type Check struct {
	Name  string
	Probe func(context.Context) error
}

// Health answers /healthz, which says that the process is alive, and /readyz, which says whether it
// wants traffic. A new one is ready as soon as all of its checks pass.
type Health struct {
	checks   []Check
	draining atomic.Bool
}

// NewHealth returns a Health that is ready while all checks pass.
func NewHealth(checks ...Check) *Health { return &Health{checks: checks} }

// Drain turns /readyz to 503 for good. /healthz goes on: the process is alive until it ends.
func (h *Health) Drain() { h.draining.Store(true) }

// Reasons lists why the server is not ready; none means that it is.
func (h *Health) Reasons(ctx context.Context) []string {
	var reasons []string
	if h.draining.Load() {
		reasons = append(reasons, "draining")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for _, check := range h.checks {
		if err := check.Probe(ctx); err != nil {
			reasons = append(reasons, fmt.Sprintf("%s: %v", check.Name, err))
		}
	}
	return reasons
}

func (h *Health) mount(r gin.IRouter) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r.Handle(method, "/healthz", noStore, func(c *gin.Context) {
			c.JSON(http.StatusOK, gin.H{"status": "ok"})
		})
		r.Handle(method, "/readyz", noStore, func(c *gin.Context) {
			if reasons := h.Reasons(c.Request.Context()); len(reasons) > 0 {
				c.JSON(http.StatusServiceUnavailable, gin.H{"status": "unavailable", "reasons": reasons})
				return
			}
			c.JSON(http.StatusOK, gin.H{"status": "ready"})
		})
	}
}

func noStore(c *gin.Context) { c.Header("Cache-Control", "no-store") }
