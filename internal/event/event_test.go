package event

import (
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func TestCursorRoundTrip(t *testing.T) {
	for _, c := range []Cursor{{}, {Epoch: 1, Position: 1}, {Epoch: 1 << 31, Position: 1<<64 - 1}} {
		got, err := ParseCursor(c.String())
		if err != nil || got != c {
			t.Errorf("ParseCursor(%q) = %v, %v; want %v", c.String(), got, err, c)
		}
	}
}

func TestCursorRefusesWhatItDidNotMake(t *testing.T) {
	good := Cursor{Epoch: 3, Position: 99}.String()
	flipped := "B" + good[1:]
	for _, s := range []string{"", "x", "!!", good + "A", good[:len(good)-1], flipped} {
		if _, err := ParseCursor(s); mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("ParseCursor(%q): %v, want kind invalid", s, err)
		}
	}
}

func TestIDsAreStableAndDistinct(t *testing.T) {
	// Receivers keep ids to know what they have seen: one never changes.
	if got, want := ID("a", 1), "evt_a_0000000000002"; got != want {
		t.Errorf("the id of an entry is %s, want %s", got, want)
	}
	if account, sequence, ok := ParseID("evt_a_0000000000002"); account != "a" || sequence != 1 || !ok {
		t.Errorf("taken apart: %q, %d, %v", account, sequence, ok)
	}
	for _, id := range []string{"", "evt_", "evt_a", "evt_0000000000002", "evt_a_0000000000003", "evt_a_000000000000x", "evt_euw3yqevggibnkkiqy42d5cr236c53b5"} {
		if _, _, ok := ParseID(id); ok {
			t.Errorf("ParseID takes %q", id)
		}
	}
	if Number(9) >= Number(10) || Number(1<<40) >= Number(1<<40+1) {
		t.Error("numbers are out of order")
	}
	seen := map[string]bool{}
	for _, id := range []string{ID("a", 1), ID("a", 2), ID("b", 1), HashID("m", "a", "b"), HashID("m", "ab"), HashID("t", "a", "b")} {
		if seen[id] {
			t.Errorf("id %s occurs twice", id)
		}
		seen[id] = true
	}
}

func TestBusWakesOnlyWhoWants(t *testing.T) {
	var bus Bus
	all, mine := bus.Listen(nil), bus.Listen(func(e Event) bool { return e.Account == "a" })
	bus.Publish([]Event{{Account: "b"}, {Account: "b"}})
	if len(all.C) != 1 || len(mine.C) != 0 {
		t.Errorf("after b's events: all woken %d times, mine %d", len(all.C), len(mine.C))
	}
	bus.Publish([]Event{{Account: "a"}})
	if len(mine.C) != 1 {
		t.Error("mine was not woken by its event")
	}
	bus.Stop(all)
	<-all.C
	bus.Publish([]Event{{Account: "b"}})
	if len(all.C) != 0 {
		t.Error("a stopped reader was woken")
	}
}
