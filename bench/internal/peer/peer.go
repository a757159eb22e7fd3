//go:build linux

// Package peer builds and runs the servers that the benchmark compares. Each is a small program that answers
// the same events (see test/peers/README.md) and takes the same command line.
package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Peer is a server that can be measured.
type Peer struct {
	Name string // as on the command line and in files
	// Recovery tells how events survive a lost connection when the switch is on; "" when it can't.
	Recovery string
	Polling  bool // speaks the polling transport
	Rooms    bool
	Pprof    bool // can serve Go profiles

	tools []string   // what must be installed to build and run it
	build [][]string // commands, run in dir one after another
	dir   string     // under the root of the repository
	run   []string   // relative paths (with a slash) are under dir
}

// Baseline is the name of the peer that the others are compared with.
const Baseline = "node"

// All lists every peer in the order of the report.
func All() []Peer {
	return []Peer{
		{
			Name: Baseline, Recovery: "in memory", Polling: true, Rooms: true,
			tools: []string{"node", "npm"},
			dir:   "test/peers/node", build: [][]string{{"npm", "ci", "--prefer-offline", "--silent", "--no-audit", "--no-fund"}},
			run: []string{"node", "./server.mjs"},
		},
		{
			Name: "holdfast", Recovery: "synced to disk", Polling: true, Rooms: true, Pprof: true,
			tools: []string{"go"},
			dir:   ".", build: [][]string{{"go", "build", "-o", "bench/out/bin/holdfast", "./bench/holdfast"}},
			run: []string{"./bench/out/bin/holdfast"},
		},
		{
			Name: "floor", Rooms: true,
			tools: []string{"go"},
			dir:   ".", build: [][]string{{"go", "build", "-o", "bench/out/bin/floor", "./test/peers/floor"}},
			run: []string{"./bench/out/bin/floor"},
		},
		{
			Name: "socketioxide", Polling: true, Rooms: true,
			tools: []string{"cargo"},
			dir:   "test/peers/socketioxide", build: [][]string{{"cargo", "build", "--release", "--locked", "--quiet"}},
			run: []string{"./target/release/peer"},
		},
		{
			Name: "zishang", Polling: true, Rooms: true,
			tools: []string{"go"},
			dir:   "test/peers/zishang", build: [][]string{{"go", "build", "-o", "bin/zishang", "."}},
			run: []string{"./bin/zishang"},
		},
		{
			Name: "python", Polling: true, Rooms: true,
			tools: []string{"python3"},
			dir:   "test/peers/python", build: [][]string{
				{"python3", "-m", "venv", ".venv"},
				{".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"},
			},
			run: []string{"./.venv/bin/python", "./server.py"},
		},
	}
}

// Select returns the peers named, in the order of All. No name means all.
func Select(names []string) ([]Peer, error) {
	all := All()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Peer
	for _, p := range all {
		if slices.Contains(names, p.Name) {
			chosen = append(chosen, p)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(p Peer) bool { return p.Name == n }) {
			return nil, fmt.Errorf("unknown peer %q", n)
		}
	}
	return chosen, nil
}

// ErrToolMissing means that a peer can't be built here because its toolchain isn't installed.
var ErrToolMissing = errors.New("not installed")

// Build makes the peer ready to run. root is the repository.
func (p Peer) Build(ctx context.Context, root string) error {
	for _, t := range p.tools {
		if _, err := exec.LookPath(t); err != nil {
			return fmt.Errorf("%s %w", t, ErrToolMissing)
		}
	}
	for _, c := range p.build {
		cmd := exec.CommandContext(ctx, p.path(root, c[0]), c[1:]...)
		cmd.Dir = filepath.Join(root, p.dir)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the product is built
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c[:min(2, len(c))], " "), err, lastLine(out))
		}
	}
	return nil
}

// Version asks the built peer what it is: one line with its name and those of what it stands on.
func (p Peer) Version(ctx context.Context, root string) (string, error) {
	out, err := p.command(ctx, root, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", p.Name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (p Peer) command(ctx context.Context, root string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path(root, p.run[0]), append(slices.Clone(p.run[1:]), args...)...)
	cmd.Dir = filepath.Join(root, p.dir)
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	return cmd
}

func (p Peer) path(root, name string) string {
	if strings.Contains(name, "/") {
		return filepath.Join(root, p.dir, name)
	}
	return name
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
