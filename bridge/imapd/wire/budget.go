package wire

import "sync/atomic"

// A Budget is how much memory the large commands of many connections may take
// together. A command takes of it what it has beyond small bytes, and gives it
// back when it is done: many clients that each begin a large command and never
// end it hold that much, and not that much each.
type Budget struct{ left atomic.Int64 }

// small is what a command may have without asking: nearly all are far below.
const small = 16 << 10

// NewBudget returns a Budget of n bytes.
func NewBudget(n int64) *Budget {
	b := &Budget{}
	b.left.Store(n)
	return b
}

func (b *Budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

// hold makes sure that the command may grow by more bytes.
func (r *Reader) hold(more int) bool {
	need := int64(len(r.buf)+more-small) - r.held
	if need <= 0 || r.budget == nil {
		return true
	}
	// In steps, so that it is not asked for at every piece.
	need = max(need, small)
	if !r.budget.take(need) {
		return false
	}
	r.held += need
	return true
}

// Release gives back what the last command has held. Its Args are over then.
func (r *Reader) Release() {
	if cap(r.buf) > keepBuffer {
		r.buf = nil
	}
	r.buf, r.starved = r.buf[:0], false
	if r.held > 0 {
		r.budget.left.Add(r.held)
		r.held = 0
	}
}
