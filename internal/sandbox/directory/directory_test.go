package directory_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/directory"
)

func TestUsersAreFound(t *testing.T) {
	var d directory.Directory[*string]
	if d.Mailbox("1") != nil || d.Mailbox("Bea@x.example") != nil {
		t.Error("an empty directory finds something")
	}
	bea, al := cloud.User{ID: "1", Address: "Bea@x.example"}, cloud.User{ID: "2", Address: "al@x.example"}
	box := "Bea's"
	if err := d.Add(bea, &box); err != nil {
		t.Fatal(err)
	}
	if err := d.Add(al, new(string)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []cloud.User{{ID: "3", Address: "bea@X.example"}, {ID: "1", Address: "c@x.example"}, {ID: "4", Address: "nobody"}} {
		if err := d.Add(bad, nil); err == nil {
			t.Errorf("%v was added", bad)
		}
	}
	if diff := cmp.Diff([]cloud.User{bea, al}, d.Users()); diff != "" {
		t.Error(diff)
	}
	if u, found := d.ByAddress(" BEA@x.example "); !found || u != bea {
		t.Errorf("%v %v", u, found)
	}
	if u, found := d.ByID("2"); !found || u != al {
		t.Errorf("%v %v", u, found)
	}
	if _, found := d.ByAddress("1"); found {
		t.Error("an id is no address")
	}
	if d.Mailbox("1") != &box || d.Mailbox("bea@x.example") != &box || d.Mailbox("") != nil {
		t.Error("the mailbox is not found")
	}
}

func TestListenersHearAllChangesInOrder(t *testing.T) {
	var l directory.Listeners[int]
	var heard []int
	l.Tell([]int{1})
	l.Add(func(n int) { heard = append(heard, n) })
	l.Add(func(n int) {
		if n == 2 {
			l.Add(func(int) {}) // from inside
		}
	})
	l.Tell([]int{2, 3})
	l.Tell(nil)
	if diff := cmp.Diff([]int{2, 3}, heard); diff != "" {
		t.Error(diff)
	}
}
