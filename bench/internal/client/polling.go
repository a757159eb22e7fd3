//go:build linux

package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	pollingTarget = "/socket.io/?EIO=4&transport=polling"
	separator     = 0x1e
)

// polling is the HTTP long-polling transport: one connection always has a GET under way, another carries the
// POSTs one by one. What is sent while a POST is under way leaves together in the next, as in a browser.
type polling struct {
	conn   *Conn
	pull   *httpConn
	push   *httpConn
	target string
	queue  []byte
}

func dialPolling(l *Loop, c *Conn) (*polling, error) {
	p := &polling{conn: c}
	var err error
	if p.pull, err = dialHTTP(l, p.pulled, c.lost); err != nil {
		return nil, err
	}
	if p.push, err = dialHTTP(l, p.pushed, c.lost); err != nil {
		p.pull.sock.close()
		return nil, err
	}
	p.pull.get(pollingTarget)
	return p, nil
}

func (p *polling) engineOpen(body []byte) error {
	var open struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal(body, &open); err != nil || open.SID == "" {
		return fmt.Errorf("engine.io: open packet %.80q", body)
	}
	p.target = pollingTarget + "&sid=" + open.SID
	return nil
}

func (p *polling) pulled(body []byte, now int64) error {
	for packet := range bytes.SplitSeq(body, []byte{separator}) {
		if err := p.packet(packet, now); err != nil {
			return err
		}
		if p.conn.gone {
			return nil
		}
	}
	if p.target == "" {
		return errors.New("engine.io: no open packet")
	}
	p.pull.get(p.target)
	p.flush()
	return nil
}

func (p *polling) packet(packet []byte, now int64) error {
	if len(packet) > 0 && packet[0] == 'b' {
		raw, err := base64.StdEncoding.AppendDecode(nil, packet[1:])
		if err != nil {
			return fmt.Errorf("engine.io: attachment: %w", err)
		}
		p.conn.handler.Binary(p.conn, raw, now)
		return nil
	}
	return p.conn.packet(packet, now)
}

func (p *polling) pushed(body []byte, _ int64) error {
	if !bytes.EqualFold(body, []byte("ok")) {
		return fmt.Errorf("engine.io: post answered %.40q", body)
	}
	p.flush()
	return nil
}

func (p *polling) text(prefix string, b []byte) {
	p.separate()
	p.queue = append(p.queue, prefix...)
	p.queue = append(p.queue, b...)
}

func (p *polling) binary(b []byte) {
	p.separate()
	p.queue = append(p.queue, 'b')
	p.queue = base64.StdEncoding.AppendEncode(p.queue, b)
}

func (p *polling) separate() {
	if len(p.queue) > 0 {
		p.queue = append(p.queue, separator)
	}
}

func (p *polling) flush() {
	if len(p.queue) > 0 && !p.push.busy {
		p.push.post(p.target, p.queue)
		p.queue = p.queue[:0]
	}
	p.push.sock.flush()
}

func (p *polling) close() {
	p.pull.sock.close()
	p.push.sock.close()
}
