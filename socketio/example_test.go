package socketio_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"holdfast/socketio"
)

type Message struct{ Text string }

type Receipt struct{ At time.Time }

func chat(n *socketio.Namespace) {
	n.OnConnect(func(s *socketio.Socket) error { return s.Join("lobby") })
	socketio.Handle(n, "message", func(e *socketio.Event, m Message) (Receipt, error) {
		if m.Text == "" {
			return Receipt{}, &socketio.Error{Code: "empty", Message: "a message needs a text"}
		}
		return Receipt{time.Now()}, e.Socket.To("lobby").Emit("message", m)
	})
}

// A typed handler: the event's argument arrives decoded, its result answers the client's acknowledgement, and so
// does its error.
func ExampleHandle() {
	server, err := socketio.NewServer(socketio.DefaultOptions())
	if err != nil {
		fmt.Println(err)
		return
	}
	chat(server.Of("/chat"))
	listening := httptest.NewServer(server)

	ada, grace := enter(listening.URL, "/chat"), enter(listening.URL, "/chat")
	// A client is told of its connection before the connect handlers have run; its first event waits for them.
	grace.send(`2/chat,0["message",{"Text":"I am here"}]`)
	grace.next("3")
	ada.send(`2/chat,0["message",{"Text":"Hello"}]`)
	fmt.Println(grace.next("2"))
	fmt.Println(ada.next("3")[:len(`3/chat,0[{"At":`)] + "...")
	ada.send(`2/chat,1["message",{"Text":""}]`)
	fmt.Println(ada.next("3"))

	ada.leave()
	grace.leave()
	_ = server.Shutdown(context.Background()) // there is no deadline to miss
	listening.Close()
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// 2/chat,["message",{"Text":"Hello"}]
	// 3/chat,0[{"At":...
	// 3/chat,1[{"error":{"code":"empty","message":"a message needs a text"}}]
}

// visitor is a client over HTTP polling, in the least code that shows what travels.
type visitor struct {
	url     string
	arrived []string
}

// enter opens a session and joins a namespace.
func enter(address, namespace string) *visitor {
	v := &visitor{url: address + "/socket.io/?EIO=4&transport=polling"}
	v.poll()
	_, rest, _ := strings.Cut(v.arrived[0], `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	v.url += "&sid=" + sid
	v.send("0" + namespace + ",")
	v.next("0")
	return v
}

func (v *visitor) send(packet string) {
	v.post("4" + packet)
}

func (v *visitor) leave() { v.post("1") }

func (v *visitor) post(body string) {
	answer, err := http.Post(v.url, "text/plain;charset=UTF-8", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	answer.Body.Close()
}

func (v *visitor) poll() {
	answer, err := http.Get(v.url)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		panic(fmt.Sprint(answer.Status, err))
	}
	v.arrived = append(v.arrived, strings.Split(string(body), "\x1e")...)
}

// next waits for the next packet of that kind.
func (v *visitor) next(kind string) string {
	for {
		for len(v.arrived) > 0 {
			packet := v.arrived[0]
			v.arrived = v.arrived[1:]
			if strings.HasPrefix(packet, "4"+kind) {
				return packet[1:]
			}
		}
		v.poll()
	}
}
