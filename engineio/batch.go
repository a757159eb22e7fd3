package engineio

// Batch queues frames for many sessions and tells the flushers once. The zero value is ready. It is not
// safe for concurrent use. Flush must follow.
type Batch struct {
	woken [maxFlushers][]*Session // by flusher
	srv   *Server                 // of those in woken
}

// Send is Session.Send, but for the flush.
func (b *Batch) Send(s *Session, f *Frame) error {
	wake, err := s.enqueue(f, false)
	if wake {
		b.add(s)
	}
	return err
}

// SendVolatile is Session.SendVolatile, but for the flush.
func (b *Batch) SendVolatile(s *Session, f *Frame) bool {
	wake, err := s.enqueue(f, true)
	if wake {
		b.add(s)
	}
	return err == nil
}

func (b *Batch) add(s *Session) {
	if b.srv != s.srv {
		b.Flush()
		b.srv = s.srv
	}
	b.woken[s.shard] = append(b.woken[s.shard], s)
}

// Flush has everything written that was queued, and empties the batch for another use.
func (b *Batch) Flush() {
	if b.srv == nil {
		return
	}
	for i, fl := range b.srv.flushers {
		if sessions := b.woken[i]; len(sessions) > 0 {
			fl.addAll(sessions)
			clear(sessions)
			b.woken[i] = sessions[:0]
		}
	}
	b.srv = nil
}
