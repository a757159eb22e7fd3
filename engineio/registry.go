package engineio

import (
	"hash/maphash"
	"sync"
)

const registryShards = 32

// registry holds the open sessions by id.
type registry struct {
	seed   maphash.Seed
	shards [registryShards]struct {
		sync.RWMutex
		byID map[string]*Session
	}
}

func newRegistry() *registry {
	r := &registry{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].byID = map[string]*Session{}
	}
	return r
}

func (r *registry) shard(id string) int {
	return int(maphash.String(r.seed, id) % registryShards)
}

// reserve keeps an id for a session to be; it reports false when the id is taken.
func (r *registry) reserve(id string) bool {
	shard := &r.shards[r.shard(id)]
	shard.Lock()
	defer shard.Unlock()
	if _, taken := shard.byID[id]; taken {
		return false
	}
	shard.byID[id] = nil
	return true
}

// fill puts a session under the id that was reserved for it.
func (r *registry) fill(s *Session) {
	shard := &r.shards[r.shard(s.id)]
	shard.Lock()
	defer shard.Unlock()
	shard.byID[s.id] = s
}

func (r *registry) get(id string) *Session {
	shard := &r.shards[r.shard(id)]
	shard.RLock()
	defer shard.RUnlock()
	return shard.byID[id]
}

func (r *registry) remove(id string) {
	shard := &r.shards[r.shard(id)]
	shard.Lock()
	defer shard.Unlock()
	delete(shard.byID, id)
}

// all is a copy of the sessions held at this moment.
func (r *registry) all() []*Session {
	var out []*Session
	for i := range r.shards {
		shard := &r.shards[i]
		shard.RLock()
		for _, s := range shard.byID {
			if s != nil {
				out = append(out, s)
			}
		}
		shard.RUnlock()
	}
	return out
}
