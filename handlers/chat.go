package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
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
//
// What is said goes to one room of the namespace and who is here to another, so that the history of the first
// is the conversation and nothing else. In a recoverable namespace both are kept: a change that was not
// handed over would leave a client with a wrong list of people for as long as it stays.
type Chat struct {
	Limits ChatLimits

	room     string
	presence string // the room for changes of who is here
	people   *Presence
	receipts *Receipts[Receipt]
	count    uint64 // guarded by receipts, which runs one message at a time

	recalling sync.Mutex
	recalled  bool
}

// Sizes of a chat. A client that was away for longer than the grace period has left.
const (
	chatGrace    = 30 * time.Second
	chatPeople   = 500
	chatReceipts = 4096
	minKey       = 16
	maxKey       = 64
	maxClientID  = 64
	maxFileName  = 80 // characters
)

// NewChat returns a chat in a room of the namespace.
func NewChat(n *socketio.Namespace, room string, limits ChatLimits) *Chat {
	c := &Chat{Limits: limits, room: room, presence: room + ":presence", receipts: NewReceipts[Receipt](chatReceipts)}
	c.people = NewPresence(chatGrace, chatPeople, func(change Change, name string, holder any) {
		others := n.To(c.presence)
		if s, ok := holder.(*socketio.Socket); ok {
			others = others.Except(s.ID()) // nobody needs to hear of their own, now or when they are back
		}
		_ = others.Emit(string(change), named{Name: name}) // not kept: the next welcome has the whole list
	})
	return c
}

type named struct {
	Name string `json:"name"`
}

// guest is what a socket of a chat holds as its data. Owner stands for the key that the client gave: data is kept
// in the log and sent to other nodes, and a secret should be in neither.
type guest struct {
	Name  string `json:"name"`
	Owner string `json:"owner"`
}

// guestOf is the guest behind a socket that Admit let in.
func guestOf(s *socketio.Socket) guest {
	g, _ := socketio.DataAs[guest](s)
	return g
}

// Admit is a connection middleware: it lets in who gives auth {name, key} with a name that is free, or
// theirs already by the key, a secret that the client makes up. Only the same key comes back to a session.
func (c *Chat) Admit(s *socketio.Socket) error {
	var auth struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	if err := s.Handshake().Auth.Bind(&auth); err != nil {
		return fail(CodeNameInvalid, "a name is needed to enter, as auth: {name, key}")
	}
	if err := checkName(auth.Name); err != nil {
		return err
	}
	if len(auth.Key) < minKey || len(auth.Key) > maxKey {
		return fail(CodeBadRequest, "the key of a name has %d to %d bytes", minKey, maxKey)
	}
	sum := sha256.Sum256([]byte(auth.Key))
	g := guest{Name: auth.Name, Owner: hex.EncodeToString(sum[:])}
	if err := c.people.Reserve(g.Name, g.Owner); err != nil {
		return err
	}
	s.SetUser(g.Owner)
	s.SetData(g)
	return nil
}

type welcome struct {
	Name   string     `json:"name"`
	People []Person   `json:"people"`
	Limits ChatLimits `json:"limits"`
}

// Enter is a connection handler: it takes the socket into the chat and tells it who is here. A socket that
// held the name before gives it up. One that was recovered is in its rooms already, and has been handed what
// it missed; it is told as well, since much may have changed that was not handed over, and the server may have
// been another.
func (c *Chat) Enter(s *socketio.Socket) error {
	g := guestOf(s)
	before, err := c.people.Arrive(g.Name, g.Owner, s, s.Recovered())
	if err != nil {
		return err
	}
	if old, ok := before.(*socketio.Socket); ok {
		_ = old.Emit("replaced") // fails where old is gone by now, as it should be
		old.Disconnect(false)
	}
	if err := s.Join(c.room, c.presence); err != nil {
		return err
	}
	c.people.People(func(list []Person) {
		err = s.Emit("welcome", welcome{Name: g.Name, People: list, Limits: c.Limits})
	})
	return err
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
// is sent. It is acknowledged with a Receipt.
func (c *Chat) Message(e *socketio.Event) error {
	var in Message
	if err := e.Bind(&in); err != nil {
		return err
	}
	switch n := utf8.RuneCountInString(in.Text); {
	case strings.TrimSpace(in.Text) == "":
		return fail(CodeBadRequest, "a message needs a text")
	case n > c.Limits.Text:
		return fail(CodeTooLarge, "a message has at most %d characters", c.Limits.Text)
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
func (c *Chat) Image(e *socketio.Event) error {
	var in Image
	if err := e.Bind(&in); err != nil {
		return err
	}
	if len(in.Data) > c.Limits.Image {
		return fail(CodeTooLarge, "an image has at most %d kB", c.Limits.Image/1000)
	}
	kind := http.DetectContentType(in.Data)
	if !slices.Contains(imageTypes, kind) {
		return fail(CodeNotAnImage, "an image is a PNG, JPEG, GIF or WebP file")
	}
	if utf8.RuneCountInString(in.Name) > maxFileName {
		in.Name = string([]rune(in.Name)[:maxFileName])
	}
	return c.handOut(e, in.CID, func(from string, r Receipt) any {
		return sentImage{From: from, Type: kind, Image: in, Receipt: r}
	})
}

// handOut sends what content makes to everyone else in the room, under the name of the event it came with. The
// receipt follows when the log has it, or else the reason why it does not: who has a receipt need not send again.
func (c *Chat) handOut(e *socketio.Event, cid string, content func(from string, r Receipt) any) error {
	if cid == "" || len(cid) > maxClientID {
		return fail(CodeBadRequest, "a message needs a cid of 1 to %d bytes", maxClientID)
	}
	if err := c.recall(e.Socket); err != nil {
		return err
	}
	from := guestOf(e.Socket).Name
	c.receipts.Once(receiptID(from, cid), func(done func(Receipt, error)) {
		now := time.Now()
		c.count++
		r := Receipt{ID: strconv.FormatInt(now.UnixMilli(), 36) + "-" + strconv.FormatUint(c.count, 36), At: now.UnixMilli()}
		kept := func(err error) { done(r, err) }
		if err := e.Socket.To(c.room).EmitThen(kept, e.Name, content(from, r)); err != nil {
			done(Receipt{}, err)
		}
	}, func(r Receipt, repeated bool, err error) {
		if err != nil {
			_ = e.AckError(err) // gone: nobody to tell
			return
		}
		r.Duplicate = repeated
		_ = e.Ack(r) // likewise
	})
	return nil
}

// receiptID is what a message is known by. With the sender's name, nobody uses up the ids of somebody else.
func receiptID(from, cid string) string { return fold(from) + "\x00" + cid }

type keptReceipt struct {
	id      string
	receipt Receipt
}

// recallPage is how many messages recall reads at a time: each may be an image.
const recallPage = 32

// recall brings back the receipts of what was said before this server started, from the log, when the first message
// comes. A message whose receipt was lost in a crash, and is sent again, is then found to be there.
func (c *Chat) recall(s *socketio.Socket) error {
	c.recalling.Lock()
	defer c.recalling.Unlock()
	if c.recalled || !s.Namespace().Recoverable() {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.Context(), DefaultHistoryLimits.Timeout)
	defer cancel()
	// Read from the newest back, but remembered from the oldest on, as they are forgotten.
	var found []keptReceipt
	for q := (socketio.HistoryQuery{Room: c.room, Limit: recallPage}); len(found) < chatReceipts; {
		past, err := s.Namespace().History(ctx, q)
		if err != nil {
			return err
		}
		for _, said := range slices.Backward(past.Events) {
			var m struct {
				From string `json:"from"`
				CID  string `json:"cid"`
				Receipt
			}
			if said.Args.Bind(&m) == nil && m.CID != "" {
				found = append(found, keptReceipt{receiptID(m.From, m.CID), m.Receipt})
			}
		}
		if !past.More {
			break
		}
		q.Before = past.Next
	}
	for _, r := range slices.Backward(found) {
		c.receipts.Remember(r.id, r.receipt)
	}
	c.recalled = true
	return nil
}
