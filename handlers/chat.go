package handlers

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/socketio"
)

// ChatLimits bound what one message may hold. They are sent to clients as they are.
type ChatLimits struct {
	Text  int `json:"text"`  // characters
	Image int `json:"image"` // bytes
}

// Chat is one room in which people with names talk. Its methods are handlers; namespaces/chat.go shows
// which event each is for.
type Chat struct {
	Limits ChatLimits

	room     string
	people   *Presence
	receipts *Receipts[Receipt]
	count    uint64 // guarded by receipts, which runs one message at a time
}

// Sizes of a chat. A client that was away for longer than the grace period has left.
const (
	chatGrace    = 30 * time.Second
	chatPeople   = 500
	chatReceipts = 4096
	maxClientID  = 64
	maxFileName  = 80 // characters
)

// NewChat returns a chat in a room of the namespace.
func NewChat(n *socketio.Namespace, room string, limits ChatLimits) *Chat {
	c := &Chat{Limits: limits, room: room, receipts: NewReceipts[Receipt](chatReceipts)}
	c.people = NewPresence(chatGrace, chatPeople, func(change Change, name string) {
		// An error means that the server is closing: nobody is left to be told.
		_ = n.To(room).Emit(string(change), named{Name: name})
	})
	return c
}

type named struct {
	Name string `json:"name"`
}

// guest is what a socket of a chat holds as its data.
type guest struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// guestOf is the guest behind a socket that Admit let in.
func guestOf(s *socketio.Socket) guest {
	g, _ := s.Data().(guest)
	return g
}

// Admit is a connection middleware: it lets in who gives auth {name, key} with a name that is free, or
// theirs already by the key.
func (c *Chat) Admit(s *socketio.Socket) error {
	var g guest
	if err := s.Handshake().Auth.Bind(&g); err != nil {
		return fail(CodeNameInvalid, "a name is needed to enter, as auth: {name, key}")
	}
	if err := c.people.Reserve(g.Name, g.Key); err != nil {
		return err
	}
	s.SetData(g)
	return nil
}

type welcome struct {
	Name   string     `json:"name"`
	People []Person   `json:"people"`
	Limits ChatLimits `json:"limits"`
}

// Enter is a connection handler: it takes the socket into the room and tells it who is here. A socket that
// held the name before gives it up.
func (c *Chat) Enter(s *socketio.Socket) error {
	g := guestOf(s)
	before, err := c.people.Arrive(g.Name, g.Key, s)
	if err != nil {
		return err
	}
	// A recovered session comes back under the id that it had: then old is nobody else.
	if old, ok := before.(*socketio.Socket); ok && old.ID() != s.ID() {
		_ = old.Emit("replaced") // fails where old is gone by now, as it should be
		old.Disconnect(false)
	}
	// Joined after the arrival is announced: nobody needs to hear of their own.
	if err := s.Join(c.room); err != nil {
		return err
	}
	return s.Emit("welcome", welcome{Name: g.Name, People: c.people.People(), Limits: c.Limits})
}

// Exit is a disconnect handler. A goodbye is final; after anything else the client may be back.
func (c *Chat) Exit(s *socketio.Socket, reason string) {
	if reason == "server shutting down" {
		return // everyone goes: no use in telling each of everyone else
	}
	c.people.Depart(guestOf(s).Name, s, reason == "client namespace disconnect")
}

// Typing is the event typing(on). It is volatile: a client that is slow, or away, can do without.
func (c *Chat) Typing(e *socketio.Event, on bool) (struct{}, error) {
	return struct{}{}, e.Socket.To(c.room).Volatile().Emit("typing", struct {
		Name string `json:"name"`
		On   bool   `json:"on"`
	}{guestOf(e.Socket).Name, on})
}

// Receipt is what the sender of a message gets to know: the message has an id, a time and its place in the
// order of all messages.
type Receipt struct {
	ID        string `json:"id"`
	At        int64  `json:"at"`                  // milliseconds since 1970
	Duplicate bool   `json:"duplicate,omitempty"` // was received before, and not handed out again
}

// Message is what the sender gives. CID is an id of the client's own making, the same in each sending of
// one message.
type Message struct {
	Text string `json:"text"`
	CID  string `json:"cid"`
}

type sentMessage struct {
	From string `json:"from"`
	Message
	Receipt
}

// Message is the event message({text, cid}): it reaches everyone else in the room, once, however often it
// is sent.
func (c *Chat) Message(e *socketio.Event, in Message) (Receipt, error) {
	switch n := utf8.RuneCountInString(in.Text); {
	case strings.TrimSpace(in.Text) == "":
		return Receipt{}, fail(CodeBadRequest, "a message needs a text")
	case n > c.Limits.Text:
		return Receipt{}, fail(CodeTooLarge, "a message has at most %d characters", c.Limits.Text)
	}
	return c.handOut(e, in.CID, func(from string, r Receipt) any {
		return sentMessage{From: from, Message: in, Receipt: r}
	})
}

// Image is a picture. Data travels as binary, in a struct as anywhere else.
type Image struct {
	Name string `json:"name"` // of the file
	Data []byte `json:"data"`
	CID  string `json:"cid"`
}

type sentImage struct {
	From string `json:"from"`
	Type string `json:"type"`
	Image
	Receipt
}

// imageTypes are those that every browser shows and none runs scripts in, which rules SVG out.
var imageTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

// Image is the event image({name, data, cid}). The type is told from the content, whatever the sender says.
func (c *Chat) Image(e *socketio.Event, in Image) (Receipt, error) {
	if len(in.Data) > c.Limits.Image {
		return Receipt{}, fail(CodeTooLarge, "an image has at most %d kB", c.Limits.Image/1000)
	}
	kind := http.DetectContentType(in.Data)
	if !slices.Contains(imageTypes, kind) {
		return Receipt{}, fail(CodeNotAnImage, "an image is a PNG, JPEG, GIF or WebP file")
	}
	if utf8.RuneCountInString(in.Name) > maxFileName {
		in.Name = string([]rune(in.Name)[:maxFileName])
	}
	return c.handOut(e, in.CID, func(from string, r Receipt) any {
		return sentImage{From: from, Type: kind, Image: in, Receipt: r}
	})
}

// handOut sends what content makes to everyone else in the room, under the name of the event it came with.
func (c *Chat) handOut(e *socketio.Event, cid string, content func(from string, r Receipt) any) (Receipt, error) {
	if cid == "" || len(cid) > maxClientID {
		return Receipt{}, fail(CodeBadRequest, "a message needs a cid of 1 to %d bytes", maxClientID)
	}
	g := guestOf(e.Socket)
	// With the sender's key, nobody can use up the ids of somebody else.
	receipt, repeated, err := c.receipts.Once(g.Key+" "+cid, func() (Receipt, error) {
		now := time.Now()
		c.count++
		r := Receipt{ID: strconv.FormatInt(now.UnixMilli(), 36) + "-" + strconv.FormatUint(c.count, 36), At: now.UnixMilli()}
		return r, e.Socket.To(c.room).Emit(e.Name, content(g.Name, r))
	})
	receipt.Duplicate = repeated
	return receipt, err
}
