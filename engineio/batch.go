package engineio

// Batch queues frames for many sessions and tells the flushers once. The zero value is ready. It is not
// safe for concurrent use. Flush must follow.
type Batch struct {
	srv   *Server
	woken []*Session
}

// Send is Session.Send, but for the flush.
func (b *Batch) Send(s *Session, f *Frame) error {
	wake, err := s.enqueue(f, false)
	if wake {
		b.srv = s.srv
		b.woken = append(b.woken, s)
	}
	return err
}

// SendVolatile is Session.SendVolatile, but for the flush.
func (b *Batch) SendVolatile(s *Session, f *Frame) bool {
	wake, err := s.enqueue(f, true)
	if wake {
		b.srv = s.srv
		b.woken = append(b.woken, s)
	}
	return err == nil
}

// Flush has everything written that was queued, and empties the batch for another use.
func (b *Batch) Flush() {
	if len(b.woken) == 0 {
		return
	}
	if shards := b.srv.flushers; len(shards) == 1 {
		shards[0].addAll(b.woken)
	} else {
		for i, fl := range shards {
			for _, s := range b.woken {
				if s.shard == uint8(i) {
					fl.add(s)
				}
			}
		}
	}
	clear(b.woken)
	b.woken = b.woken[:0]
}
