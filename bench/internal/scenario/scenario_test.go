//go:build linux

package scenario

import (
	"errors"
	"testing"

	"holdfast/bench/internal/client"
)

// loads are small forms of every websocket scenario that counts losses.
func loads() map[string]func(*Env) (Figures, error) {
	return map[string]func(*Env) (Figures, error){
		"echo":   Echo(5, 8, 64, client.WebSocket),
		"binary": BinaryEcho(5, 2, 5000),
		"steady": Steady(5, 500, 64),
		"burst":  Burst(5, 50, 64),
		"rooms":  Rooms(3, 3, 64),
	}
}

func TestASoundServerLosesNothing(t *testing.T) {
	for name, run := range loads() {
		t.Run(name, func(t *testing.T) {
			f, err := run((&app{}).start(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, none := range []Figure{Lost, Disordered, Dropped} {
				if f[none] != 0 {
					t.Errorf("%s: %v", none, f[none])
				}
			}
			for _, some := range []Figure{Rate, CPU, P50, P99, ServerLoad} {
				if f[some] <= 0 {
					t.Errorf("%s: %v", some, f[some])
				}
			}
			if f[P50] > f[P99] {
				t.Errorf("p50 %v above p99 %v", f[P50], f[P99])
			}
		})
	}
}

func TestLossesAreCounted(t *testing.T) {
	for name, run := range loads() {
		t.Run(name, func(t *testing.T) {
			f, err := run((&app{drop: 40}).start(t))
			if err != nil {
				t.Fatal(err)
			}
			if f[Lost] <= 0 {
				t.Error("lost packets weren't noticed")
			}
		})
	}
}

func TestBurstCountsEachLoss(t *testing.T) {
	// Of every burst of 50 to 5 clients each client loses one.
	env := (&app{drop: 50}).start(t)
	env.Measure = 1
	f, err := Burst(5, 50, 64)(env)
	if err != nil {
		t.Fatal(err)
	}
	if f[Lost] != 5 {
		t.Errorf("lost %v, want 5", f[Lost])
	}
}

func TestWrongAnswersAreLosses(t *testing.T) {
	for _, name := range []string{"echo", "binary"} {
		f, err := loads()[name]((&app{corrupt: 40}).start(t))
		if err != nil {
			t.Fatal(err)
		}
		if f[Lost] <= 0 {
			t.Errorf("%s: wrong answers weren't noticed", name)
		}
	}
}

func TestDisorderIsCounted(t *testing.T) {
	for _, name := range []string{"steady", "burst"} {
		f, err := loads()[name]((&app{swap: 40}).start(t))
		if err != nil {
			t.Fatal(err)
		}
		if f[Disordered] <= 0 {
			t.Errorf("%s: packets in the wrong order weren't noticed", name)
		}
	}
}

func TestBrokenConnectionsAreCounted(t *testing.T) {
	f, err := Steady(5, 500, 64)((&app{hangUp: 60}).start(t))
	if err != nil {
		t.Fatal(err)
	}
	if f[Dropped] != 5 || f[Lost] <= 0 {
		t.Errorf("dropped %v, lost %v", f[Dropped], f[Lost])
	}
}

func TestAServerThatRefusesFailsTheRun(t *testing.T) {
	env := (&app{}).start(t)
	loop, err := client.NewLoop([4]byte{127, 0, 0, 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	env.Loop = loop
	if _, err := Echo(2, 1, 64, client.WebSocket)(env); !errors.Is(err, errGather) {
		t.Errorf("got %v", err)
	}
}

func TestSelect(t *testing.T) {
	names := map[string]bool{}
	for _, s := range All() {
		if names[s.Name] {
			t.Errorf("%s is there twice", s.Name)
		}
		names[s.Name] = true
	}
	chosen, err := Select([]string{"burst", "echo-w1"})
	if err != nil || len(chosen) != 2 || chosen[0].Name != "echo-w1" {
		t.Errorf("%v %v", chosen, err)
	}
	if _, err := Select([]string{"no-such"}); err == nil {
		t.Error("an unknown scenario was accepted")
	}
}

func TestStamp(t *testing.T) {
	b := appendStamp(nil, 0xfedcba98, 1<<62+5, 64)
	n, at, ok := parseStamp(b)
	if len(b) != 64 || !ok || n != 0xfedcba98 || at != 1<<62+5 {
		t.Errorf("%s: %x %x %v", b, n, at, ok)
	}
	for _, bad := range []string{"", "00000000000000000000000", "0000000g0000000000000000", "00000000000000000000000Z", "00000000000000000000000\x00"} {
		if _, _, ok := parseStamp([]byte(bad)); ok {
			t.Errorf("accepted %q", bad)
		}
	}
}
