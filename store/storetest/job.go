package storetest

import (
	"errors"
	"fmt"

	"github.com/postern-mail/postern/store"
)

func jobCases() []Case {
	return []Case{
		{Name: "a job comes back as it was put", Run: jobRoundTrip},
		{Name: "jobs are listed newest first, in pages", Run: jobList},
		{Name: "a job runs until it is done", Run: jobRunning},
		{Name: "jobs that are done are trimmed", Run: jobTrim},
		{Name: "the jobs of an account go with it", Run: jobErase},
		{Name: "a job moves together with what it did", Run: jobAtomic},
	}
}

func jobRoundTrip(w *World) {
	j := &store.Job{
		ID: "r1", State: store.JobFailed, Source: store.JobJournal, Endpoint: "e1", Account: "a1", Type: "ping",
		Since: day(1), Until: day(2), States: []store.DeliveryState{store.DeliveryDead, store.DeliveryPending}, To: "e2",
		PerSecond: 10, CreatedAt: Start, DoneAt: day(3), Counted: true, Matched: 5, Done: 3, Skipped: 2, Reason: "words",
		Last: 7, LastAt: day(1), LastID: "d1", End: 9,
	}
	w.update(func(tx store.Tx) error { return tx.PutJob(j) })
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.Job("r1")
		w.same("job", j, got)
		_, missing := tx.Job("r2")
		w.absent("unknown job", missing)
		return err
	})
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.DeleteJob("r1"), tx.DeleteJob("r1"), tx.DeleteJob("r2"))
	})
	w.view(func(tx store.Tx) error {
		_, err := tx.Job("r1")
		w.absent("deleted job", err)
		list, err := tx.Jobs(store.DateKey{}, 10)
		w.same("jobs after that", 0, len(list))
		return err
	})
	_ = w.refused("a job without an id", func(tx store.Tx) error { return tx.PutJob(&store.Job{}) })
}

// putJobs makes running jobs r0, r1..., a day apart.
func putJobs(w *World, n int) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		for i := range n {
			if err := tx.PutJob(&store.Job{ID: fmt.Sprint("r", i), State: store.JobRunning, CreatedAt: day(i)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// change reads a job, changes it and writes it back.
func changeJob(w *World, id string, fn func(*store.Job)) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		j, err := tx.Job(id)
		if err != nil {
			return err
		}
		fn(j)
		return tx.PutJob(j)
	})
}

func jobIDs(list []*store.Job) (ids []string) {
	for _, j := range list {
		ids = append(ids, j.ID)
	}
	return ids
}

func jobList(w *World) {
	putJobs(w, 5)
	changeJob(w, "r2", func(j *store.Job) { j.State, j.DoneAt = store.JobDone, day(9) })
	var got []string
	var after store.DateKey
	w.view(func(tx store.Tx) error {
		for {
			page, err := tx.Jobs(after, 2)
			if err != nil || len(page) == 0 {
				return err
			}
			got = append(got, jobIDs(page)...)
			last := page[len(page)-1]
			after = store.DateKey{At: last.CreatedAt, ID: last.ID}
		}
	})
	w.same("jobs", []string{"r4", "r3", "r2", "r1", "r0"}, got)
}

func runningJobs(w *World, limit int, want ...string) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		list, err := tx.RunningJobs(limit)
		w.same("running", want, jobIDs(list))
		return err
	})
}

func jobRunning(w *World) {
	runningJobs(w, 10)
	putJobs(w, 4)
	runningJobs(w, 10, "r0", "r1", "r2", "r3")
	runningJobs(w, 2, "r0", "r1")
	changeJob(w, "r0", func(j *store.Job) { j.Done = 7 })
	runningJobs(w, 1, "r0")
	for i, state := range []store.JobState{store.JobDone, store.JobCancelled, store.JobFailed} {
		changeJob(w, fmt.Sprint("r", i), func(j *store.Job) { j.State, j.DoneAt = state, day(9) })
	}
	runningJobs(w, 10, "r3")
	w.update(func(tx store.Tx) error { return tx.DeleteJob("r3") })
	runningJobs(w, 10)
}

func jobTrim(w *World) {
	putJobs(w, 6)
	for i := range 5 {
		changeJob(w, fmt.Sprint("r", i), func(j *store.Job) { j.State, j.DoneAt = store.JobDone, day(i) })
	}
	var dropped []int
	for range 3 {
		w.update(func(tx store.Tx) error {
			n, err := tx.TrimJobs(day(3), 2)
			dropped = append(dropped, n)
			return err
		})
	}
	w.same("dropped", []int{2, 1, 0}, dropped)
	w.view(func(tx store.Tx) error {
		list, err := tx.Jobs(store.DateKey{}, 10)
		w.same("left", []string{"r5", "r4", "r3"}, jobIDs(list))
		return err
	})
}

func jobErase(w *World) {
	putJobs(w, 5)
	for i, account := range []string{"a1", "a2", "a1", "a1"} {
		changeJob(w, fmt.Sprint("r", i), func(j *store.Job) { j.Account = account })
	}
	changeJob(w, "r3", func(j *store.Job) { j.Account = "a2" }) // is no longer a1's
	for more := true; more; {
		w.update(func(tx store.Tx) (err error) {
			more, err = tx.DropJobsOf("a1", 1)
			return err
		})
	}
	runningJobs(w, 10, "r1", "r3", "r4")
	w.view(func(tx store.Tx) error {
		_, err := tx.Job("r0")
		w.absent("a job of the account", err)
		return nil
	})
}

// jobAtomic: what a transaction that fails did to a job and a delivery is
// undone for both.
func jobAtomic(w *World) {
	putJobs(w, 1)
	w.settle("a1")
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.PutEndpoint(&store.Endpoint{ID: "e1"}),
			tx.Enqueue(&store.Delivery{ID: "d1", Endpoint: "e1", Lane: "a1", Account: "a1", Event: "v1", Rendition: "thin", CreatedAt: Start, NextAt: Start}))
	})
	move := func(tx store.Tx) error {
		j, err := tx.Job("r0")
		if err != nil {
			return err
		}
		d, err := tx.Delivery("d1")
		if err != nil {
			return err
		}
		j.Done++
		d.Replay = "r0"
		return errors.Join(tx.PutJob(j), tx.Reschedule(d))
	}
	_ = w.refused("a step that fails", func(tx store.Tx) error { return errors.Join(move(tx), errors.New("broken")) })
	see := func(done int64, replay string) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			j, err := tx.Job("r0")
			if err != nil {
				return err
			}
			d, err := tx.Delivery("d1")
			if err == nil && (j.Done != done || d.Replay != replay) {
				w.Errorf("the job has done %d, the delivery is of %q", j.Done, d.Replay)
			}
			return err
		})
	}
	see(0, "")
	w.update(move)
	w.Reopen()
	see(1, "r0")
}
