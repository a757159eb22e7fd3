package metrics

import (
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"holdfast/engineio"
	"holdfast/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fill gives every number of a struct of statistics a value of its own, from first on.
func fill(v reflect.Value, first int) (next int) {
	for i := range v.NumField() {
		field := v.Field(i)
		switch {
		case field.CanInt():
			field.SetInt(int64(first))
		case field.CanUint():
			field.SetUint(uint64(first))
		default:
			continue
		}
		first++
	}
	return first
}

func TestEveryStatisticIsAMetric(t *testing.T) {
	now := stats{engineio: engineio.Stats{
		Sessions: map[engineio.Transport]int{engineio.TransportPolling: 91, engineio.TransportWebSocket: 92},
		Closed:   map[engineio.Reason]uint64{engineio.ReasonPingTimeout: 93},
	}}
	last := fill(reflect.ValueOf(&now.socketio).Elem(), 1000)
	last = fill(reflect.ValueOf(&now.engineio).Elem(), last)

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(func() stats { return now }))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()

	for value := 1000; value < last; value++ {
		if n := strings.Count(text, fmt.Sprintf(" %d\n", value)); n != 1 {
			t.Errorf("the statistic with value %d is in %d metrics:\n%s", value, n, text)
		}
	}
	for _, want := range []string{
		`holdfast_sessions{transport="polling"} 91`,
		`holdfast_sessions{transport="websocket"} 92`,
		`holdfast_sessions_closed_total{reason="ping timeout"} 93`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		name, kind, ok := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " ")
		if ok && strings.HasPrefix(line, "# TYPE ") && strings.TrimSpace(kind) == "counter" != strings.HasSuffix(name, "_total") {
			t.Errorf("a counter's name, and no other's, ends in _total: %s", line)
		}
	}
}

func TestHandlerAnswersForALiveServer(t *testing.T) {
	io, err := socketio.NewServer(socketio.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer io.Shutdown(t.Context())
	h, err := Handler(io, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`holdfast_build_info{version="v1.2.3"} 1`, "go_goroutines ", "holdfast_sockets 0"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
}
