package e2e

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// history is what was done to the mailboxes, whether it worked or not: what the
// journal tells must be found here.
type history struct {
	mu sync.Mutex
	// expected counts, by address and subject, how many messages there will be.
	expected map[string]map[string]int
	// touched is by the provider's id.
	touched map[string]*touched
	// ids are messages that may be changed, by address.
	ids         map[string][]string
	subjects    map[string]string     // by the provider's id, where it is known
	submissions map[string]*submitted // by subject
}

// touched is what was tried on one message.
type touched struct {
	address  string
	added    map[string]int // keywords
	removed  map[string]int
	moves    int
	deleted  bool
	attempts int
}

// submitted is one message that was handed in for sending.
type submitted struct {
	from, to string
	id       string // of the submission, once it was accepted
}

func newHistory() *history {
	return &history{expected: map[string]map[string]int{}, touched: map[string]*touched{}, subjects: map[string]string{}, ids: map[string][]string{}, submissions: map[string]*submitted{}}
}

// expect notes that a message of a subject comes to an address.
func (h *history) expect(address, subject string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expected[address] == nil {
		h.expected[address] = map[string]int{}
	}
	h.expected[address][subject]++
}

func (h *history) delivered(address, id, subject string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subjects[id] = subject
	h.ids[address] = append(h.ids[address], id)
}

// pick chooses messages of one account, fewer where there are not enough.
func (h *history) pick(rng *rand.Rand, n int) (address string, ids []string) {
	address = soakAddresses[rng.IntN(len(soakAddresses))]
	return address, h.pickOf(rng, address, n)
}

// pickOf chooses messages of an account.
func (h *history) pickOf(rng *rand.Rand, address string, n int) (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.ids[address]
	for range min(n, len(all)) {
		if id := all[rng.IntN(len(all))]; !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// edit is one change: keywords, or a place, or an end.
type edit struct {
	add, remove []string
	to          string // a well-known name
	delete      bool
}

// trying notes an attempt before it is made.
func (h *history) trying(address string, ids []string, e edit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		t := h.touched[id]
		if t == nil {
			t = &touched{address: address, added: map[string]int{}, removed: map[string]int{}}
			h.touched[id] = t
		}
		t.attempts++
		for _, k := range e.add {
			t.added[k]++
		}
		for _, k := range e.remove {
			t.removed[k]++
		}
		if e.to != "" {
			t.moves++
		}
		if e.delete {
			t.deleted = true
			h.ids[address] = slices.DeleteFunc(h.ids[address], func(other string) bool { return other == id })
		}
	}
}

// answering notes that a message will be shown as answered.
func (h *history) answering(address, id string) {
	h.trying(address, []string{id}, edit{add: []string{"$answered"}})
}

func (h *history) submitting(from, to, subject string) *submitted {
	h.expect(from, subject) // the copy among what was sent
	h.expect(to, subject)
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &submitted{from: from, to: to}
	h.submissions[subject] = s
	return s
}

func (h *history) accepted(s *submitted, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.id = id
}

// newEdit makes up a change.
func newEdit(rng *rand.Rand) edit {
	keywords := []string{"$seen", "$flagged", "blue", "green"}
	k := keywords[rng.IntN(len(keywords))]
	switch n := rng.IntN(10); {
	case n < 4:
		return edit{add: []string{k}}
	case n < 6:
		return edit{remove: []string{k}}
	case n < 9:
		places := []string{"inbox", "archive", "deleteditems", "junkemail"}
		return edit{to: places[rng.IntN(len(places))]}
	}
	return edit{delete: true}
}
