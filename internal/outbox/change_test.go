package outbox

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// changes collects what operators are told. It is written in transactions, one
// at a time; one that runs twice in a test would show.
type changes struct{ told []string }

func (c *changes) hear(_ store.Tx, e *store.Endpoint, ch Change) error {
	text := fmt.Sprintf("%s %s", e.ID, ch.Kind)
	switch ch.Kind {
	case ChangeFailing:
		text += fmt.Sprintf(" %d", ch.Percent/10*10)
	case ChangeDead:
		text += fmt.Sprintf(" %d", ch.Dead)
	}
	c.told = append(c.told, text)
	return nil
}

func TestOperatorsAreToldOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		var up atomic.Bool
		c := answering(func(*store.Delivery) Outcome {
			if up.Load() {
				return ok()
			}
			return failed(ClassNetwork)
		})
		heard := &changes{}
		opts := Options{OnChange: heard.hear, Policy: Policy{DisableAfter: 100 * time.Hour, Schedule: hourly(300)}}
		r := start(t, s, c, opts)
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 3)
		pass(20 * time.Hour)
		up.Store(true)
		pass(2 * time.Hour)
		up.Store(false)
		r.owe("e", "a", true, 4, 1)
		pass(60 * time.Hour)
		r.stop() // what was told is remembered
		r.outbox = New(s, c, opts)
		r.run()
		pass(50 * time.Hour)
		want := []string{"e failing 0", "e recovered", "e failing 0", "e failing 50", "e failing 70", "e failing 90", "e disabled"}
		if diff := cmp.Diff(want, heard.told); diff != "" {
			t.Error(diff)
		}
		r.stop()
	})
}

// hourly is a schedule of n attempts.
func hourly(n int) []time.Duration {
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = time.Hour
	}
	return list
}

func TestDeadLettersAreToldAsTheyGrow(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		var up atomic.Bool
		c := answering(func(*store.Delivery) Outcome {
			if up.Load() {
				return ok()
			}
			return failed(Class4xx)
		})
		heard := &changes{}
		r := start(t, s, c, Options{OnChange: heard.hear, Limits: func(*store.Endpoint) Limits { return Limits{Attempts: 1} }})
		defer r.stop()
		r.endpoint("e", true)
		var ids []string
		for n := range 25 {
			ids = append(ids, r.owe("e", "a", true, n+1, 1)...)
			settle()
		}
		up.Store(true)
		if _, err := r.outbox.Redeliver(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		up.Store(false)
		r.owe("e", "a", true, 26, 1) // none was left: this is the first again
		settle()
		if diff := cmp.Diff([]string{"e dead 1", "e dead 10", "e dead 1"}, heard.told); diff != "" {
			t.Error(diff)
		}
	})
}
