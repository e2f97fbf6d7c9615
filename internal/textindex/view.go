package textindex

import (
	"slices"
	"sync"

	"github.com/postern-mail/postern/store"
)

// view is what is held in memory of an account's segments: which message is
// where. Segments do not change, so it is true for one list of them for ever.
type view struct {
	live  []segment
	place map[string]place
	open  []set // by segment: messages whose extract is not all of their text
	used  uint64
}

// place is where a message stands: the last segment that holds it.
type place struct {
	segment uint16 // in view.live
	ord     uint16
}

// maxViewed bounds the messages of all cached views, at about 100 bytes each.
// One account may exceed it alone.
const maxViewed = 500_000

// cache keeps the views of accounts that were searched last.
type cache struct {
	mu    sync.Mutex
	clock uint64
	views map[string]*view
}

// get gives the view of a manifest, made where need be in its transaction.
func (c *cache) get(tx store.Derived, account string, m *manifest) (*view, error) {
	c.mu.Lock()
	v := c.views[account]
	if v != nil && slices.Equal(v.live, m.live) {
		c.clock++
		v.used = c.clock
		c.mu.Unlock()
		return v, nil
	}
	c.mu.Unlock()
	v, err := newView(tx, account, m)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	v.used = c.clock
	if c.views == nil {
		c.views = map[string]*view{}
	}
	c.views[account] = v
	c.trim(account)
	return v, nil
}

// trim drops what was not used for longest, but for one account.
func (c *cache) trim(but string) {
	for {
		total, oldest := 0, ""
		for a, v := range c.views {
			total += len(v.place)
			if a != but && (oldest == "" || v.used < c.views[oldest].used) {
				oldest = a
			}
		}
		if total <= maxViewed || oldest == "" {
			return
		}
		delete(c.views, oldest)
	}
}

// drop forgets an account's view.
func (c *cache) drop(account string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.views, account)
}

func newView(tx store.Derived, account string, m *manifest) (*view, error) {
	docs := 0
	for _, s := range m.live {
		docs += s.docs
	}
	v := &view{live: slices.Clone(m.live), place: make(map[string]place, docs), open: make([]set, len(m.live))}
	for i, s := range m.live {
		list, err := readDocs(tx, account, s)
		if err != nil {
			return nil, err
		}
		for ord, id := range list.ids {
			v.place[id] = place{uint16(i), uint16(ord)}
		}
		for _, ord := range list.open {
			v.open[i].put(ord)
		}
	}
	return v, nil
}
