//go:build linux

// Command bench puts the same loads on Holdfast and on other Socket.IO servers, one after another, and prints
// what each costs. bench/README.md says how to read it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	rounds    int
	scenarios []string
	peers     []string
	out       string
	profile   string
	warm      time.Duration
	measure   time.Duration
	growth    bool
	quick     bool
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	r, err := newRunner(ctx, o)
	if err != nil {
		return err
	}
	if o.growth {
		return r.growth(ctx)
	}
	return r.compare(ctx)
}

func parse(args []string) (options, error) {
	var o options
	var scenarios, peers string
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	f.IntVar(&o.rounds, "rounds", 3, "how often each scenario is run; the table shows medians")
	f.StringVar(&scenarios, "scenarios", "", "comma-separated names (default all)")
	f.StringVar(&peers, "peers", "", "comma-separated names (default all)")
	f.StringVar(&o.out, "out", "bench/out", "folder for the report, logs and builds")
	f.StringVar(&o.profile, "profile", "", "folder for a CPU and a heap profile of each run (Holdfast only)")
	f.DurationVar(&o.warm, "warm", time.Second, "load before each measurement")
	f.DurationVar(&o.measure, "measure", 4*time.Second, "length of each measurement")
	f.BoolVar(&o.growth, "growth", false, "instead of the comparison, print how cost grows with the work (default peer holdfast)")
	f.BoolVar(&o.quick, "quick", false, "one short round: to see that everything works, not to compare")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.scenarios, o.peers = split(scenarios), split(peers)
	if o.quick {
		o.rounds, o.warm, o.measure = 1, 300*time.Millisecond, time.Second
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, nil
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
