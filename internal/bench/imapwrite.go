package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// bareLabels is what the bench itself does to a mailbox of the provider's, with
// nothing between.
type bareLabels struct {
	*unitsDirect
	ids []string
}

func (m *imapMailbox) bare(ctx context.Context, n int) (*bareLabels, error) {
	if err := errors.Join(m.w.user(ctx, bareUnits), m.w.deliverLetters(ctx, bareUnits, 0, n)); err != nil {
		return nil, err
	}
	d, err := m.w.unitsDirect(ctx, bareUnits)
	if err != nil {
		return nil, err
	}
	var list []struct{ ID string }
	if err := m.w.control(ctx, http.MethodGet, "/control/users/"+bareUnits+"/messages", nil, &list); err != nil {
		return nil, err
	}
	l := &bareLabels{unitsDirect: d}
	for _, one := range list {
		l.ids = append(l.ids, one.ID)
	}
	return l, nil
}

// post asks with JSON.
func (l *bareLabels) post(ctx context.Context, to string, body, out any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, answer, err := l.do(ctx, http.MethodPost, "gmail/v1/users/me/"+to, "application/json", bytes.NewReader(raw))
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// label makes a label and gives its id.
func (l *bareLabels) label(ctx context.Context, name string) (string, error) {
	var got struct{ ID string }
	err := l.post(ctx, "labels", map[string]string{"name": name}, &got)
	return got.ID, err
}

// modify changes all messages by as few calls as the provider takes.
func (l *bareLabels) modify(ctx context.Context, add, remove []string) error {
	return l.post(ctx, "messages/batchModify", map[string]any{"ids": l.ids, "addLabelIds": add, "removeLabelIds": remove}, nil)
}

// insert stores a message and reads it back, as who must know its bytes does.
func (l *bareLabels) insert(ctx context.Context, label string, raw []byte) error {
	var got struct{ ID string }
	err := l.post(ctx, "messages", map[string]any{"raw": base64.URLEncoding.EncodeToString(raw), "labelIds": []string{label}}, &got)
	if err != nil {
		return err
	}
	_, _, err = l.do(ctx, http.MethodGet, "gmail/v1/users/me/messages/"+got.ID+"?format=raw", "", nil)
	return err
}

// writes measures what changes mail, with the provider in the path, beside the
// provider's bare calls.
func (m *imapMailbox) writes(ctx context.Context) ([]row, error) {
	n := min(1000, m.expected.n)
	appends := m.b.count(100, 3)
	bare, err := m.bare(ctx, n)
	if err != nil {
		return nil, err
	}
	type step struct {
		name       string
		ours, bare func() error
	}
	var names []string
	ours, theirs := map[string][]float64{}, map[string][]float64{}
	for i := range m.b.runs {
		c, err := m.ours.login(ctx)
		if err != nil {
			return nil, err
		}
		from, to := fmt.Sprintf("from%d", i), fmt.Sprintf("to%d", i)
		var fromID, toID string
		for _, name := range []string{from, to} {
			if err := c.do("CREATE "+name, nil); err != nil {
				return nil, err
			}
		}
		if fromID, err = bare.label(ctx, from); err != nil {
			return nil, err
		}
		if toID, err = bare.label(ctx, to); err != nil {
			return nil, err
		}
		set := fmt.Sprintf("1:%d", n)
		// counts fails where a mailbox does not hold what it should.
		counts := func(mailbox string, want int) error {
			t, err := func() (tally, error) {
				if err := c.do("SELECT "+mailbox, nil); err != nil {
					return tally{}, err
				}
				return c.fetch("UID FETCH 1:* (FLAGS)")
			}()
			if err == nil && t.count != want {
				err = fmt.Errorf("%s has %d messages, not %d", mailbox, t.count, want)
			}
			return err
		}
		letter, _ := imapLetter(i)
		letter = append(bytes.Clone(letter[:min(len(letter), 4000)]), "\r\n"...)
		steps := []step{
			{fmt.Sprintf("UID STORE of %d, +FLAGS", n), func() error { return c.do("UID STORE "+set+` +FLAGS (\Flagged)`, nil) },
				func() error { return bare.modify(ctx, []string{"STARRED"}, nil) }},
			{fmt.Sprintf("UID STORE of %d, -FLAGS", n), func() error { return c.do("UID STORE "+set+` -FLAGS (\Flagged)`, nil) },
				func() error { return bare.modify(ctx, nil, []string{"STARRED"}) }},
			{fmt.Sprintf("UID COPY of %d", n), func() error { return c.do("UID COPY "+set+" "+from, nil) },
				func() error { return bare.modify(ctx, []string{fromID}, nil) }},
			{"", func() error { return counts(from, n) }, nil},
			{fmt.Sprintf("UID MOVE of %d", n), func() error { return c.do("UID MOVE 1:* "+to, nil) },
				func() error { return bare.modify(ctx, []string{toID}, []string{fromID}) }},
			{"", func() error { return errors.Join(counts(from, 0), counts(to, n)) }, nil},
			{fmt.Sprintf("STORE \\Deleted and EXPUNGE of %d", n), func() error {
				return errors.Join(c.do(`UID STORE 1:* +FLAGS.SILENT (\Deleted)`, nil), c.do("EXPUNGE", nil))
			}, func() error { return bare.modify(ctx, nil, []string{toID}) }},
			{"", func() error { return counts(to, 0) }, nil},
			{fmt.Sprintf("%d times APPEND of 4 kB", appends), func() error {
				for range appends {
					if err := c.append(from, letter); err != nil {
						return err
					}
				}
				return nil
			}, func() error {
				for range appends {
					if err := bare.insert(ctx, fromID, letter); err != nil {
						return err
					}
				}
				return nil
			}},
			{"", func() error { return counts(from, appends) }, nil},
		}
		for _, s := range steps {
			began := time.Now()
			if err := s.ours(); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if s.bare == nil {
				continue
			}
			took := milliseconds(time.Since(began))
			began = time.Now()
			if err := s.bare(); err != nil {
				return nil, fmt.Errorf("%s, bare: %w", s.name, err)
			}
			if i == 0 {
				names = append(names, s.name)
			}
			ours[s.name], theirs[s.name] = append(ours[s.name], took), append(theirs[s.name], milliseconds(time.Since(began)))
			fmt.Fprintf(m.b.log, "  %s, run %d: %s ms; bare calls %s ms\n", s.name, i+1, short(took), short(milliseconds(time.Since(began))))
		}
		if err := c.close(); err != nil {
			return nil, err
		}
	}
	var rows []row
	for _, name := range names {
		rows = append(rows, row{path: "IMAP, provider in the path: " + name, reference: "bare calls of the provider", ours: median(ours[name]), theirs: median(theirs[name]), unit: "ms"})
	}
	return rows, nil
}
