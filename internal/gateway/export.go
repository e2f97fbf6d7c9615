package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

// What can be exported.
const (
	ExportEvents      = "events"
	ExportDeadLetters = "dead-letters"
)

// exportPage is how many records one transaction reads.
const exportPage = 500

// EventLine is one entry of the journal as `postern export events` prints it:
// ids and times, and no mail.
type EventLine struct {
	ID         string    `json:"id"`
	Cursor     string    `json:"cursor"`
	Time       time.Time `json:"time"`
	Type       string    `json:"type"`
	Account    string    `json:"account,omitempty"`
	Sequence   uint64    `json:"sequence"`
	Backfill   bool      `json:"backfill,omitempty"`
	Message    string    `json:"message,omitempty"`
	Mailbox    string    `json:"mailbox,omitempty"`
	Submission string    `json:"submission,omitempty"`
	Endpoint   string    `json:"endpoint,omitempty"`
	Reason     string    `json:"reason,omitempty"`
}

// DeadLetterLine is one delivery that was given up, as `postern export
// dead-letters` prints it.
type DeadLetterLine struct {
	ID         string    `json:"id"`
	Endpoint   string    `json:"endpoint"`
	Account    string    `json:"account,omitempty"`
	Event      string    `json:"event"`
	Type       string    `json:"type"`
	Sequence   uint64    `json:"sequence"`
	Created    time.Time `json:"created"`
	Done       time.Time `json:"done"`
	Attempts   int       `json:"attempts"`
	LastStatus int       `json:"last_status,omitempty"`
	LastError  string    `json:"last_error,omitempty"`
}

// Export writes records since a time to w, one JSON object a line.
func Export(ctx context.Context, s store.Store, what string, since time.Time, w io.Writer) error {
	switch what {
	case ExportEvents:
		return exportEvents(ctx, s, since, json.NewEncoder(w))
	case ExportDeadLetters:
		return exportDeadLetters(ctx, s, since, json.NewEncoder(w))
	}
	return fmt.Errorf("%q cannot be exported", what)
}

func exportEvents(ctx context.Context, s store.Store, since time.Time, out *json.Encoder) error {
	var position uint64
	err := s.View(ctx, func(tx store.Tx) (err error) {
		position, err = store.PositionBefore(tx, since)
		return err
	})
	if err != nil {
		return err
	}
	for {
		var page []event.Event
		err := s.View(ctx, func(tx store.Tx) (err error) {
			page, err = tx.EventsAfter(position, exportPage)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			e := &page[i]
			position = e.Position
			if e.Internal || e.Time.Before(since) {
				continue
			}
			err := out.Encode(EventLine{ID: e.ID, Cursor: e.Cursor().String(), Time: e.Time, Type: string(e.Type), Account: e.Account,
				Sequence: e.Sequence, Backfill: e.Backfill, Message: e.Message, Mailbox: e.Mailbox, Submission: e.Submission,
				Endpoint: e.Endpoint, Reason: e.Reason})
			if err != nil {
				return err
			}
		}
	}
}

func exportDeadLetters(ctx context.Context, s store.Store, since time.Time, out *json.Encoder) error {
	var after store.DateKey
	for {
		var page []*store.Delivery
		err := s.View(ctx, func(tx store.Tx) (err error) {
			page, err = tx.Deliveries(store.DeliveryFilter{State: store.DeliveryDead, Since: since}, after, exportPage)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, d := range page {
			after = store.DateKey{At: d.CreatedAt, ID: d.ID}
			err := out.Encode(DeadLetterLine{ID: d.ID, Endpoint: d.Endpoint, Account: d.Account, Event: d.Event, Type: d.Type, Sequence: d.Sequence,
				Created: d.CreatedAt, Done: d.DoneAt, Attempts: d.Attempts, LastStatus: d.LastStatus, LastError: d.LastError})
			if err != nil {
				return err
			}
		}
	}
}

// serveExport streams an export. What goes wrong after the first line can only
// be shown by cutting the answer.
func (g *Gateway) serveExport(w http.ResponseWriter, r *http.Request) {
	what := r.PathValue("what")
	since, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("since"))
	if err != nil || what != ExportEvents && what != ExportDeadLetters {
		respond(w, nil, fmt.Errorf("export %q since %q is not known", what, r.URL.Query().Get("since")))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	if err := Export(r.Context(), g.store, what, since, w); err != nil {
		g.log.ErrorContext(r.Context(), "export failed", "what", what, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// ExportRunning copies an export of the running gateway to w. ErrNotRunning
// where none answers.
func ExportRunning(ctx context.Context, cfg *config.Config, what string, since time.Time, w io.Writer) error {
	query := url.Values{"since": {since.UTC().Format(time.RFC3339Nano)}}
	resp, err := ask(ctx, cfg, http.MethodGet, "/export/"+what+"?"+query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the export was cut off: %w", err)
	}
	return nil
}
