//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/bench/internal/client"
	"holdfast/bench/internal/peer"
	"holdfast/bench/internal/report"
	"holdfast/bench/internal/scenario"
)

// growthTable is a table whose rows are amounts of work and whose columns are costs that should not grow with it.
type growthTable struct {
	title   string
	head    string // of the first column
	rows    []growthRow
	columns []growthColumn
}

type growthRow struct {
	label string
	runs  map[string]func(*scenario.Env) (scenario.Figures, error) // by name
}

type growthColumn struct {
	head   string
	run    string // which of the row's runs gives it
	figure scenario.Figure
}

func growthTables() []growthTable {
	return []growthTable{connectionGrowth(), roomGrowth(), payloadGrowth()}
}

func connectionGrowth() growthTable {
	t := growthTable{title: "Connections", head: "connections", columns: []growthColumn{
		{"CPU µs a handshake", "presence", scenario.CPU},
		{"resident MB", "presence", scenario.ResidentMB},
		{"KB a connection", "presence", scenario.KBPerConn},
		{"idle: CPU ms a second", "presence", scenario.IdleCPU},
		{"CPU µs a disconnect", "presence", scenario.LeaveCPU},
		{"CPU µs an acked echo", "echo", scenario.CPU},
		{"CPU µs a delivery, one broadcast at a time", "single", scenario.CPU},
		{"CPU µs a delivery, 200 at once", "burst", scenario.CPU},
	}}
	for _, n := range []int{1, 10, 100, 1000, 9000} {
		t.rows = append(t.rows, growthRow{report.Count(n), map[string]func(*scenario.Env) (scenario.Figures, error){
			"presence": scenario.Presence(n),
			"echo":     scenario.Echo(n, 1, 64, client.WebSocket),
			"single":   scenario.Burst(n, 1, 64),
			"burst":    scenario.Burst(n, 200, 64),
		}})
	}
	return t
}

func roomGrowth() growthTable {
	t := growthTable{title: "Rooms of five, 500 connections", head: "rooms", columns: []growthColumn{
		{"CPU µs a join", "rooms", scenario.JoinCPU},
		{"KB a membership", "rooms", scenario.KBPerMember},
		{"CPU µs a delivery", "rooms", scenario.CPU},
		{"p99 ms", "rooms", scenario.P99},
	}}
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		t.rows = append(t.rows, growthRow{report.Count(n), map[string]func(*scenario.Env) (scenario.Figures, error){
			"rooms": scenario.RoomGrowth(500, n, 64),
		}})
	}
	return t
}

func payloadGrowth() growthTable {
	t := growthTable{title: "Payload (echo over 10 connections, broadcasts of at least 24 bytes to 100, one at a time)", head: "bytes", columns: []growthColumn{
		{"CPU µs an acked echo", "echo", scenario.CPU},
		{"CPU µs a binary echo", "binary", scenario.CPU},
		{"CPU µs a delivery", "broadcast", scenario.CPU},
		{"echo p99 ms", "echo", scenario.P99},
	}}
	for _, n := range []int{16, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10} {
		t.rows = append(t.rows, growthRow{report.Count(n), map[string]func(*scenario.Env) (scenario.Figures, error){
			"echo":      scenario.Echo(10, 1, n, client.WebSocket),
			"binary":    scenario.BinaryEcho(10, 1, n),
			"broadcast": scenario.Burst(100, 1, n),
		}})
	}
	return t
}

// growth prints the growth tables of the peers chosen, Holdfast unless others are named.
func (r *runner) growth(ctx context.Context) error {
	names := r.peers
	if len(names) == 0 {
		names = []string{"holdfast"}
	}
	peers, err := peer.Select(names)
	if err != nil {
		return err
	}
	ready, all := r.build(ctx, peers)
	if err := r.settleDown(); err != nil {
		return err
	}
	var b strings.Builder
	for i, p := range ready {
		fmt.Fprintf(&b, "%s: %s; %s, %s.\n\n", p.Name, all[i].Version, machine(), r.coresNote)
		for _, t := range growthTables() {
			rows, err := r.fill(ctx, p, t)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "### %s\n\n%s\n", t.title, report.Table(rows, 1))
		}
	}
	fmt.Print(b.String())
	if err := os.WriteFile(filepath.Join(r.out, "growth.md"), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("growth: %w", err)
	}
	return nil
}

// fill runs what a table needs and returns its rows, the head first.
func (r *runner) fill(ctx context.Context, p peer.Peer, t growthTable) ([][]string, error) {
	head := []string{t.head}
	for _, c := range t.columns {
		head = append(head, c.head)
	}
	rows := [][]string{head}
	for _, row := range t.rows {
		figures := map[string]scenario.Figures{}
		cells := []string{row.label}
		for _, c := range t.columns {
			if _, done := figures[c.run]; !done {
				s := scenario.Scenario{Name: strings.ReplaceAll(c.run+"-"+row.label, ",", ""), Run: row.runs[c.run]}
				f, err := r.once(ctx, p, s)
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				note("%s %-13s %s", p.Name, s.Name, summary(f, err))
				figures[c.run] = f
			}
			v, ok := figures[c.run][c.figure]
			if !ok {
				cells = append(cells, "failed")
				continue
			}
			cells = append(cells, report.Number(v))
		}
		rows = append(rows, cells)
	}
	return rows, nil
}
