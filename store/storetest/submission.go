package storetest

import (
	"errors"

	"github.com/postern-mail/postern/store"
)

func submissionCases() []Case {
	return []Case{
		{Name: "a submission comes back as it was put", Run: submissionRoundTrip},
		{Name: "submissions are due until they are done", Run: submissionDue},
		{Name: "a submission that ended waits while its draft is to be deleted", Run: submissionDiscard},
		{Name: "a submission that ended waits while its sender is to be told", Run: submissionReport},
		{Name: "a submission is found by what it has", Run: submissionFound},
		{Name: "submissions that are done are trimmed", Run: submissionTrim},
	}
}

func submissionRoundTrip(w *World) {
	w.settle("a1")
	s := &store.Submission{
		ID: "s1", Account: "a1", State: store.SubmissionSending, Step: "send", Blob: "digest", Size: 12, From: "f@example.org",
		Recipients: []string{"t@example.org", "u@example.org"}, Subject: "subject", MessageID: "mid", InReplyTo: "m0", Forward: true,
		Thread: "t1", DraftID: "d1", DraftState: []byte{1, 0, 2}, SentMessageID: "smid", SentProviderID: "sp", IdempotencyKey: "key", Fingerprint: "print",
		SendAt: day(1), NextAt: day(2), Attempts: 3, Error: "words", CreatedAt: Start, DoneAt: day(4),
		GivenMessageID: "given", Report: &store.Report{State: store.ReportLeft, HeadersOnly: true, EnvelopeID: "env", Recipients: []store.ReportRecipient{
			{Address: "t@example.org", Original: "rfc822;o@example.org", Failure: true}, {Address: "u@example.org", Success: true}}},
	}
	w.update(func(tx store.Tx) error { return tx.PutSubmission(s) })
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.Submission("s1")
		w.same("submission", s, got)
		_, missing := tx.Submission("s2")
		w.absent("unknown submission", missing)
		return err
	})
}

func submissionDue(w *World) {
	w.settle("a1")
	put := func(id string, state store.SubmissionState, at int) {
		w.Helper()
		w.update(func(tx store.Tx) error {
			return tx.PutSubmission(&store.Submission{ID: id, Account: "a1", State: state, NextAt: day(at), DoneAt: day(at)})
		})
	}
	due := func(at, limit int, want ...string) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			list, err := tx.DueSubmissions(day(at), limit)
			var got []string
			for _, s := range list {
				got = append(got, s.ID)
			}
			w.same("due", want, got)
			return err
		})
	}
	next := func(want int) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			got, err := tx.NextSubmission()
			if (want < 0) != got.IsZero() || (want >= 0 && !got.Equal(day(want))) {
				w.Errorf("next %v, want day %d", got, want)
			}
			return err
		})
	}
	next(-1)
	put("s3", store.SubmissionScheduled, 3)
	put("s1", store.SubmissionSending, 1)
	put("s2", store.SubmissionScheduled, 2)
	next(1)
	due(0, 10)
	due(2, 10, "s1", "s2") // at the time itself, too
	due(9, 2, "s1", "s2")
	put("s1", store.SubmissionScheduled, 5)
	next(2)
	put("s2", store.SubmissionSent, 2)
	put("s3", store.SubmissionCancelled, 3)
	due(9, 10, "s1")
	put("s1", store.SubmissionFailed, 5)
	due(9, 10)
	next(-1)
}

func submissionDiscard(w *World) {
	w.settle("a1")
	s := &store.Submission{ID: "s1", Account: "a1", State: store.SubmissionCancelled, Step: store.StepDiscard, NextAt: day(3), DoneAt: day(1)}
	put := func() { w.update(func(tx store.Tx) error { return tx.PutSubmission(s) }) }
	check := func(what string, wantDue, wantDropped int) {
		w.Helper()
		w.update(func(tx store.Tx) error {
			due, err := tx.DueSubmissions(day(3), 10)
			if len(due) != wantDue {
				w.Errorf("%s: %d are due, want %d", what, len(due), wantDue)
			}
			dropped, err2 := tx.TrimSubmissions(day(2), 10)
			if dropped != wantDropped {
				w.Errorf("%s: %d are dropped, want %d", what, dropped, wantDropped)
			}
			return errors.Join(err, err2)
		})
	}
	put()
	w.Reopen()
	check("the draft is there", 1, 0)
	s.Step = ""
	put()
	check("the draft is deleted", 0, 1)
}

func submissionReport(w *World) {
	w.settle("a1")
	s := &store.Submission{ID: "s1", Account: "a1", State: store.SubmissionFailed, NextAt: day(2), DoneAt: day(1), Report: &store.Report{}}
	check := func(what string, wantDue int) {
		w.Helper()
		w.update(func(tx store.Tx) error { return tx.PutSubmission(s) })
		w.view(func(tx store.Tx) error {
			due, err := tx.DueSubmissions(day(3), 10)
			w.same(what+", due", wantDue, len(due))
			return err
		})
	}
	check("nothing to tell", 0)
	s.Report.State = store.ReportDue
	check("to be told", 1)
	s.Report.State = store.ReportDone
	check("told", 0)
}

func submissionFound(w *World) {
	w.settle("a1")
	w.settle("a2")
	put := func(id, acct, k, mid, draft string) {
		w.Helper()
		w.update(func(tx store.Tx) error {
			return tx.PutSubmission(&store.Submission{ID: id, Account: acct, State: store.SubmissionScheduled, IdempotencyKey: k, MessageID: mid, DraftID: draft})
		})
	}
	find := func(acct, by, want string) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			for what, find := range map[string]func(string, string) (*store.Submission, error){
				"key": tx.SubmissionByKey, "message id": tx.SubmissionByMessageID, "draft": tx.SubmissionByDraft,
			} {
				s, err := find(acct, what+by)
				if want == "" {
					w.absent(acct+" by "+what+by, err)
				} else if err != nil || s.ID != want {
					w.Errorf("%s by %s%s: %v, %v, want %s", acct, what, by, s, err, want)
				}
			}
			return nil
		})
	}
	put("s1", "a1", "key1", "message id1", "draft1")
	put("s2", "a2", "key1", "message id1", "draft1")
	find("a1", "1", "s1")
	find("a2", "1", "s2")
	find("a1", "2", "")
	put("s1", "a1", "key2", "message id2", "draft2")
	find("a1", "1", "")
	find("a1", "2", "s1")
	put("s3", "a1", "key2", "message id2", "draft2") // the newest has it
	find("a1", "2", "s3")
	put("s1", "a1", "", "", "")
	find("a1", "2", "s3")
	given := &store.Submission{ID: "s4", Account: "a1", State: store.SubmissionScheduled, MessageID: "message id4", GivenMessageID: "message id3", IdempotencyKey: "key3", DraftID: "draft3"}
	w.update(func(tx store.Tx) error { return tx.PutSubmission(given) })
	find("a1", "3", "s4") // by the Message-ID that it was given with
	given.MessageID, given.IdempotencyKey, given.DraftID = given.GivenMessageID, "key4", "draft4"
	w.update(func(tx store.Tx) error { return tx.PutSubmission(given) })
	given.GivenMessageID, given.MessageID = "message id3", "message id4"
	w.update(func(tx store.Tx) error { return tx.PutSubmission(given) })
	find("a1", "4", "s4")
	_ = w.refused("moving a submission to another account", func(tx store.Tx) error {
		return tx.PutSubmission(&store.Submission{ID: "s1", Account: "a2"})
	})
}

func submissionTrim(w *World) {
	w.settle("a1")
	w.update(func(tx store.Tx) error {
		var errs []error
		for i := range 6 {
			s := &store.Submission{ID: name("s", i), Account: "a1", State: store.SubmissionSent, DoneAt: day(i), MessageID: name("mid", i)}
			if i == 5 {
				s.State, s.NextAt = store.SubmissionScheduled, day(0)
			}
			errs = append(errs, tx.PutSubmission(s))
		}
		return errors.Join(errs...)
	})
	var dropped []int
	for range 3 {
		w.update(func(tx store.Tx) error {
			n, err := tx.TrimSubmissions(day(3), 2)
			dropped = append(dropped, n)
			return err
		})
	}
	w.same("dropped", []int{2, 1, 0}, dropped)
	w.view(func(tx store.Tx) error {
		_, err := tx.Submission("s0002")
		w.absent("trimmed", err)
		_, err = tx.SubmissionByMessageID("a1", "mid0002")
		w.absent("trimmed, by message id", err)
		_, err1 := tx.Submission("s0003")
		_, err2 := tx.Submission("s0005")
		return errors.Join(err1, err2)
	})
}
