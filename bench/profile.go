//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profiler fetches profiles from a server while it is under load.
type profiler struct {
	addr string
	path string // without the ending
	done chan error
}

func newProfiler(addr, folder, name string) *profiler {
	return &profiler{addr: addr, path: filepath.Join(folder, name), done: make(chan error, 1)}
}

// start begins a CPU profile of the length given.
func (p *profiler) start(ctx context.Context, d time.Duration) {
	seconds := max(int(d/time.Second), 1)
	go func() {
		p.done <- p.fetch(ctx, fmt.Sprintf("profile?seconds=%d", seconds), ".cpu.pprof")
	}()
}

// finish waits for the CPU profile and adds one of the heap.
func (p *profiler) finish(ctx context.Context) error {
	return errors.Join(<-p.done, p.fetch(ctx, "heap?gc=1", ".heap.pprof"))
}

func (p *profiler) fetch(ctx context.Context, what, ending string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/debug/pprof/"+what, nil)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o755); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	f, err := os.Create(p.path + ending)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
