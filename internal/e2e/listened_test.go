package e2e

import "testing"

// TestListenedWithoutURL: a provider that brings its hints by a feed needs no URL
// to reach us by. Its accounts say that changes are pushed, mail is told by a
// hint, and a channel that is lost is made again.
func TestListenedWithoutURL(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	account := d.account(alanAtGmail)
	type watch struct{ State, LastHintAt string }
	state := func() watch {
		t.Helper()
		var got struct{ Account struct{ Watch watch } }
		d.query(`query($id: ID!) { account(id: $id) { watch { state lastHintAt } } }`, map[string]any{"id": account}, &got)
		return got.Account.Watch
	}
	d.eventually("changes are pushed", func() bool { return state().State == "PUSH" })
	d.deliver(alanAtGmail, "told by a hint")
	d.eventually("the message is there", func() bool { return d.subjects(account)["told by a hint"] != "" })
	d.eventually("a hint is noted", func() bool { return state().LastHintAt != "" })
}
