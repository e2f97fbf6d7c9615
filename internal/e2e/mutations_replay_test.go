package e2e

import (
	"slices"
	"testing"
	"time"
)

// replayJob is a replay as the tests look at it.
type replayJob struct {
	ID, State     string
	Matched, Done int
}

func (c *changes) replayOf(input map[string]any) (j replayJob) {
	c.t.Helper()
	var got struct{ Replay replayJob }
	c.query(`mutation($in: ReplayInput!) { replay(input: $in) { id state matched done } }`, map[string]any{"in": input}, &got)
	return got.Replay
}

func (c *changes) replayNow(id string) replayJob {
	c.t.Helper()
	var got struct{ ReplayJob replayJob }
	c.query(`query($id: ID!) { replayJob(id: $id) { id state matched done } }`, map[string]any{"id": id}, &got)
	return got.ReplayJob
}

// replay gives an endpoint that comes late what happened before it, once, and
// the same again when it is asked for.
func (c *changes) replay(t *testing.T) {
	for _, subject := range []string{"before the endpoint", "before it, too"} {
		c.arrive(subject)
	}
	r := c.receive(nil)
	late, secret := c.endpoint(map[string]any{"url": r.URL + "/late", "accounts": []string{c.ada}, "events": []string{"MESSAGE_CREATED"}})
	journal := map[string]any{"source": "JOURNAL", "endpoint": late, "account": c.ada, "since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}
	dry := func(input map[string]any) int {
		in := map[string]any{"dryRun": true}
		for k, v := range input {
			in[k] = v
		}
		return c.replayOf(in).Matched
	}
	count := dry(journal)
	if again := dry(journal); count < 2 || again != count {
		t.Fatalf("a dry run counts %d, then %d", count, again)
	}
	job := c.replayOf(journal)
	c.eventually("the journal is replayed", func() bool { return c.replayNow(job.ID).State == "DONE" })
	if now := c.replayNow(job.ID); now.Done != count || now.Matched != count {
		t.Errorf("the dry run counted %d, the replay %+v", count, now)
	}
	first := r.wait("what was before it", 1, messageHook("before it, too"))
	if !first.verified(t, secret) {
		t.Error("it is not signed")
	}
	c.eventually("all is delivered", func() bool { return len(c.delivered(late, job.ID)) == count })
	if n := dry(journal); n != 0 {
		t.Errorf("%d events are still owed", n)
	}
	// The same once more, by the state of the deliveries, and to another.
	again := map[string]any{"endpoint": late, "states": []string{"DELIVERED"}, "perSecond": 1000}
	if n := dry(again); n != count {
		t.Errorf("%d deliveries to make again, want %d", n, count)
	}
	job = c.replayOf(again)
	if h := r.wait("the same once more", 2, messageHook("before it, too")); h.Body.ID != first.Body.ID || string(h.Raw) != string(first.Raw) {
		t.Errorf("it came as %s, then as %s", first.Raw, h.Raw)
	}
	c.eventually("all is put back", func() bool { return c.replayNow(job.ID).State == "DONE" })
	c.eventually("all is delivered again", func() bool { return len(c.delivered(late, job.ID)) == count })
	other, _ := c.endpoint(map[string]any{"url": r.URL + "/other", "events": []string{"PING"}})
	var got struct {
		Redeliver struct {
			Count int
			Job   replayJob
		}
	}
	c.query(`mutation($f: DeliveryFilter, $to: ID) { redeliver(filter: $f, to: $to) { count job { id state } } }`,
		map[string]any{"f": map[string]any{"endpoint": late, "state": "DELIVERED"}, "to": other}, &got)
	if got.Redeliver.Count != count {
		t.Errorf("%+v, want %d", got.Redeliver, count)
	}
	r.wait("at the other one", 1, func(h *hook) bool { return h.Path == "/other" && h.Body.ID == first.Body.ID })
}

// delivered lists the deliveries of an endpoint that a replay put back and that
// were delivered since.
func (c *changes) delivered(endpoint, job string) (ids []string) {
	c.t.Helper()
	var got struct {
		Deliveries struct {
			Edges []struct{ Node struct{ ID, ReplayID string } }
		}
	}
	c.query(`query($f: DeliveryFilter) { deliveries(first: 200, filter: $f) { edges { node { id replayId } } } }`,
		map[string]any{"f": map[string]any{"endpoint": endpoint, "state": "DELIVERED"}}, &got)
	for _, e := range got.Deliveries.Edges {
		if e.Node.ReplayID == job {
			ids = append(ids, e.Node.ID)
		}
	}
	return ids
}

func (c *changes) cancelReplay(t *testing.T) {
	r := c.receive(nil)
	id, _ := c.endpoint(map[string]any{"url": r.URL})
	for range 20 {
		c.ping(id)
	}
	c.eventually("the pings are delivered", func() bool { return len(c.delivered(id, "")) == 20 })
	job := c.replayOf(map[string]any{"endpoint": id, "states": []string{"DELIVERED"}, "perSecond": 1})
	var got struct{ CancelReplay replayJob }
	c.query(`mutation($id: ID!) { cancelReplay(id: $id) { id state done } }`, map[string]any{"id": job.ID}, &got)
	if got.CancelReplay.State != "CANCELLED" || got.CancelReplay.Done == 20 {
		t.Errorf("the replay is %+v", got.CancelReplay)
	}
	if now := c.replayNow(job.ID); now.State != "CANCELLED" || now.Done != got.CancelReplay.Done {
		t.Errorf("the replay is %+v", now)
	}
	var list struct {
		ReplayJobs struct{ Edges []struct{ Node replayJob } }
	}
	c.query(`{ replayJobs(first: 100) { edges { node { id state } } } }`, nil, &list)
	var ids []string
	for _, e := range list.ReplayJobs.Edges {
		ids = append(ids, e.Node.ID)
	}
	if !slices.Contains(ids, job.ID) {
		t.Errorf("%s is not among the replays %v", job.ID, ids)
	}
}
