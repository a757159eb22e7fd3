//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"holdfast/bench/internal/client"
	"holdfast/bench/internal/peer"
	"holdfast/bench/internal/report"
	"holdfast/bench/internal/scenario"
)

// runner runs scenarios against peers on fixed cores.
type runner struct {
	options
	root      string
	core      int // of the server
	coresNote string
}

// quiet is longer than any server here pauses by itself.
const quiet = 3 * time.Second

var errNoRoot = errors.New("run it inside the repository")

func newRunner(ctx context.Context, o options) (*runner, error) {
	r := &runner{options: o}
	var err error
	if r.root, err = repository(); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(r.out) {
		r.out = filepath.Join(r.root, r.out)
	}
	if err := os.MkdirAll(filepath.Join(r.out, "scratch"), 0o755); err != nil {
		return nil, fmt.Errorf("output folder: %w", err)
	}
	server, generator, shared, err := peer.Cores()
	if err != nil {
		return nil, err
	}
	r.core = server
	r.coresNote = fmt.Sprintf("server on core %d, generator on core %d", server, generator)
	if shared {
		r.coresNote = "server and generator share the only core: the figures say little"
	}
	return r, ctx.Err()
}

// settleDown makes this process the generator. It comes after the builds, which may use every core.
func (r *runner) settleDown() error {
	_, generator, _, err := peer.Cores()
	if err != nil {
		return err
	}
	limit, err := peer.RaiseFileLimit()
	if err != nil {
		return err
	}
	if limit < 9500 {
		note("the limit of open files is %d: the scenarios with 9,000 connections will fail", limit)
	}
	debug.SetGCPercent(400)
	runtime.LockOSThread()
	return peer.PinProcess(generator)
}

// repository finds the root of the module from the working directory upwards.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module holdfast\n") {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("repository: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", errNoRoot
		}
		dir = filepath.Dir(dir)
	}
}

// build makes the peers ready; those that can't be are named in the report and left out.
func (r *runner) build(ctx context.Context, peers []peer.Peer) (ready []peer.Peer, all []report.Peer) {
	for _, p := range peers {
		note("build %s", p.Name)
		entry := report.Peer{Name: p.Name, Recovery: p.Recovery}
		err := p.Build(ctx, r.root)
		if err == nil {
			entry.Version, err = p.Version(ctx, r.root)
		}
		if err != nil {
			note("left out %s: %v", p.Name, err)
			entry.LeftOut = err.Error()
		} else {
			ready = append(ready, p)
		}
		all = append(all, entry)
	}
	return ready, all
}

// compare runs the scenarios against the peers, round by round, and writes the report.
func (r *runner) compare(ctx context.Context) error {
	peers, err := peer.Select(r.peers)
	if err != nil {
		return err
	}
	scenarios, err := scenario.Select(r.scenarios)
	if err != nil {
		return err
	}
	rep := &report.Report{Started: time.Now(), Machine: machine(), Cores: r.coresNote, Rounds: r.rounds}
	peers, rep.Peers = r.build(ctx, peers)
	if err := r.settleDown(); err != nil {
		return err
	}
	for _, s := range scenarios {
		rep.Scenarios = append(rep.Scenarios, report.Scenario{Name: s.Name, Title: s.Title, Unit: s.Unit})
	}
	for round := range r.rounds {
		for _, s := range scenarios {
			for _, p := range peers {
				if !able(p, s) {
					continue
				}
				f, err := r.once(ctx, p, s)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				res := report.Result{Peer: p.Name, Scenario: s.Name, Round: round + 1, Figures: f}
				if err != nil {
					res.Error = err.Error()
				}
				note("round %d  %-18s %-13s %s", round+1, s.Name, p.Name, summary(f, err))
				rep.Results = append(rep.Results, res)
			}
		}
	}
	rep.Finish()
	fmt.Print(rep.Markdown())
	return errors.Join(
		rep.WriteJSON(filepath.Join(r.out, "report.json")),
		rep.WriteMarkdown(filepath.Join(r.out, "report.md")),
		rep.WriteSVG(filepath.Join(r.out, "report.svg")),
	)
}

func able(p peer.Peer, s scenario.Scenario) bool {
	return (!s.Recovery || p.Recovery != "") && (!s.Polling || p.Polling) && (!s.Rooms || p.Rooms)
}

// once runs one scenario against a fresh process of one peer.
func (r *runner) once(ctx context.Context, p peer.Peer, s scenario.Scenario) (scenario.Figures, error) {
	profiled := r.profile != "" && p.Pprof
	server, err := p.Start(ctx, peer.StartOptions{
		Root: r.root, Core: r.core, Recovery: s.Recovery, Pprof: profiled, Scratch: filepath.Join(r.out, "scratch"),
	})
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	loop, err := client.NewLoop([4]byte{127, 0, 0, 1}, server.Port)
	if err != nil {
		return nil, err
	}
	defer loop.Close()
	env := &scenario.Env{Loop: loop, Server: server, Warm: r.warm, Measure: r.measure, Quiet: quiet}
	if !profiled {
		return s.Run(env)
	}
	prof := newProfiler(server.PprofAddr, r.profile, s.Name)
	env.Started = func() { prof.start(ctx, r.measure) }
	figures, err := s.Run(env)
	return figures, errors.Join(err, prof.finish(ctx))
}

func summary(f scenario.Figures, err error) string {
	if err != nil {
		return "failed: " + err.Error()
	}
	line := fmt.Sprintf("%10s/s %8s µs  p50 %-7s p99 %-7s", report.Number(f[scenario.Rate]), report.Number(f[scenario.CPU]),
		report.Number(f[scenario.P50]), report.Number(f[scenario.P99]))
	if kb, ok := f[scenario.KBPerConn]; ok {
		line += fmt.Sprintf(" %s KB", report.Number(kb))
	}
	return line + fmt.Sprintf("  lost %.0f  load %.2f generator %.2f", f[scenario.Lost], f[scenario.ServerLoad], f[scenario.GeneratorLoad])
}

// machine names the processor and the kernel.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		return model + ", Linux " + strings.TrimSpace(string(b))
	}
	return model
}

func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
