//go:build linux

package peer

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	all, err := Select(nil)
	if err != nil || len(all) != len(All()) || all[0].Name != Baseline {
		t.Errorf("%v %v", all, err)
	}
	some, err := Select([]string{"floor", "node"})
	if err != nil || len(some) != 2 || some[0].Name != "node" || some[1].Name != "floor" {
		t.Errorf("%v %v", some, err)
	}
	if _, err := Select([]string{"nodejs"}); err == nil {
		t.Error("an unknown peer was accepted")
	}
}

func TestBuildWithoutItsToolchain(t *testing.T) {
	p := Peer{Name: "x", tools: []string{"no-such-compiler"}}
	if err := p.Build(t.Context(), t.TempDir()); !errors.Is(err, ErrToolMissing) {
		t.Errorf("got %v", err)
	}
}

func TestAFailedBuildSaysWhy(t *testing.T) {
	p := Peer{Name: "x", dir: ".", build: [][]string{{"sh", "-c", "echo first; echo no such type >&2; exit 1"}}}
	if err := p.Build(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no such type") {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatDies(t *testing.T) {
	p := Peer{Name: "x", dir: ".", run: []string{"sh", "-c", "echo out of luck; exit 3"}}
	_, err := p.Start(t.Context(), StartOptions{Root: t.TempDir(), Core: -1, Scratch: t.TempDir()})
	if !errors.Is(err, ErrServerDied) || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("got %v", err)
	}
}

func TestUsageOfAProcess(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := range 10_000_000 {
		sum += i
	}
	after, err := cpuTime(os.Getpid())
	if err != nil || after <= before || sum == 0 {
		t.Errorf("from %v to %v, %v", before, after, err)
	}
	kb, err := residentKB(os.Getpid())
	if err != nil || kb < 1000 {
		t.Errorf("%d KB, %v", kb, err)
	}
	if _, err := cpuTime(1 << 22); err == nil {
		t.Error("no error for a process that isn't there")
	}
}

func TestCores(t *testing.T) {
	server, generator, shared, err := Cores()
	if err != nil || shared != (server == generator) {
		t.Errorf("%d %d %v %v", server, generator, shared, err)
	}
	if err := onCore(server, func() error { return nil }); err != nil {
		t.Error(err)
	}
}
