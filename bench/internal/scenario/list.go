//go:build linux

package scenario

import (
	"fmt"
	"slices"

	"holdfast/bench/internal/client"
)

// The units that a message can be.
const (
	unitConnection = "connection"
	unitMessage    = "message"
	unitDelivery   = "delivery"
)

// All lists every scenario in the order of the report.
func All() []Scenario {
	base := []Scenario{
		{
			Name: "idle-1000", Title: "Connect and idle, 1,000 connections", Unit: unitConnection,
			Run: Idle(1000),
		},
		{
			Name: "idle-9000", Title: "Connect and idle, 9,000 connections", Unit: unitConnection,
			Run: Idle(9000),
		},
		{
			Name: "echo-w1", Title: "Acked echo, 100 connections, window 1", Unit: unitMessage,
			Run: Echo(100, 1, payloadLen, client.WebSocket),
		},
		{
			Name: "echo-w8", Title: "Acked echo, 100 connections, window 8", Unit: unitMessage,
			Run: Echo(100, 8, payloadLen, client.WebSocket),
		},
		{
			Name: "steady", Title: "Steady broadcast, 50 a second to 500 connections", Unit: unitDelivery,
			Run: Steady(500, 50, payloadLen),
		},
		{
			Name: "burst", Title: "Burst broadcast, 200 at once to 500 connections", Unit: unitDelivery,
			Run: Burst(500, 200, payloadLen),
		},
		{
			Name: "rooms", Title: "Many small rooms, 1,000 connections in 200 rooms", Unit: unitDelivery, Rooms: true,
			Run: Rooms(200, 5, payloadLen),
		},
		{
			Name: "polling", Title: "Acked echo over polling, 100 connections", Unit: unitMessage, Polling: true,
			Run: Echo(100, 1, payloadLen, client.Polling),
		},
		{
			Name: "binary", Title: "Binary echo, 16 KB, 100 connections", Unit: unitMessage,
			Run: BinaryEcho(100, 1, 16<<10),
		},
	}
	all := slices.Clone(base)
	for _, s := range base[:6] {
		s.Name += "-recovery"
		s.Title += ", recovery on"
		s.Recovery = true
		all = append(all, s)
	}
	return all
}

// Select returns the scenarios named, in the order of All. No name means all.
func Select(names []string) ([]Scenario, error) {
	all := All()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Scenario
	for _, s := range all {
		if slices.Contains(names, s.Name) {
			chosen = append(chosen, s)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(s Scenario) bool { return s.Name == n }) {
			return nil, fmt.Errorf("unknown scenario %q", n)
		}
	}
	return chosen, nil
}
