package eventlog

import "context"

// SubmitAndWait is Append in terms of Submit, for backends: it submits the batch and waits until it is
// committed. The batch's own Done is called too. When ctx ends first its error is returned, and whether
// the batch is kept is then open.
func SubmitAndWait(ctx context.Context, l Log, b *Batch) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	type result struct {
		first uint64
		err   error
	}
	c := make(chan result, 1)
	waited := *b
	waited.Done = func(first uint64, err error) {
		if b.Done != nil {
			b.Done(first, err)
		}
		c <- result{first, err}
	}
	if err := l.Submit(&waited); err != nil {
		return 0, err
	}
	select {
	case r := <-c:
		return r.first, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
