package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/webhook"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// The commands about endpoints and deliveries: what `postern endpoints` and
// `postern deliveries` ask over the socket. Lists are functions of the store,
// so that they work where no gateway runs; what changes something needs one.

// EndpointRow is one endpoint as `postern endpoints list` shows it.
type EndpointRow struct {
	ID            string    `json:"id"`
	URL           string    `json:"url"`
	State         string    `json:"state"`
	Reason        string    `json:"reason,omitempty"`
	Pending       int64     `json:"pending"`
	Dead          int64     `json:"dead"`
	FailingSince  time.Time `json:"failing_since,omitzero"`
	PausedUntil   time.Time `json:"paused_until,omitzero"`
	LastSuccessAt time.Time `json:"last_success_at,omitzero"`
}

// ListEndpoints lists all endpoints, oldest first, with what waits for them.
func ListEndpoints(ctx context.Context, s store.Store) ([]EndpointRow, error) {
	list, err := webhook.New(s, nil, nil, webhook.Options{}).ListEndpoints(ctx)
	rows := make([]EndpointRow, 0, len(list))
	for _, e := range list {
		row := EndpointRow{ID: e.ID, URL: e.URL, State: strings.ToUpper(string(e.State)), Reason: e.Reason,
			FailingSince: e.FailingSince, PausedUntil: e.PausedUntil, LastSuccessAt: e.LastSuccessAt}
		err := s.View(ctx, func(tx store.Tx) error {
			stats, err := tx.EndpointStats(e.ID)
			row.Pending, row.Dead = stats.Pending, stats.Dead
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("count what waits for %s: %w", e.ID, err)
		}
		rows = append(rows, row)
	}
	return rows, err
}

// DeliveryRow is one delivery as `postern deliveries list` shows it.
type DeliveryRow struct {
	ID         string    `json:"id"`
	Endpoint   string    `json:"endpoint"`
	Account    string    `json:"account,omitempty"`
	Event      string    `json:"event"`
	Type       string    `json:"type"`
	State      string    `json:"state"`
	Attempts   int       `json:"attempts"`
	LastStatus int       `json:"last_status,omitempty"`
	LastError  string    `json:"last_error,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	NextAt     time.Time `json:"next_at,omitzero"`
	Replay     string    `json:"replay,omitempty"`
}

// ListDeliveries lists deliveries, newest first.
func ListDeliveries(ctx context.Context, s store.Store, f store.DeliveryFilter, limit int) ([]DeliveryRow, error) {
	rows := []DeliveryRow{}
	err := s.View(ctx, func(tx store.Tx) error {
		if f.Endpoint != "" {
			if _, err := tx.Endpoint(f.Endpoint); errors.Is(err, store.ErrNotFound) {
				return mail.Errorf(mail.KindNotFound, "list deliveries", "there is no endpoint %q", f.Endpoint)
			} else if err != nil {
				return err
			}
		}
		rows = rows[:0]
		list, err := tx.Deliveries(f, store.DateKey{}, min(limit, store.MaxRecords))
		for _, d := range list {
			row := DeliveryRow{ID: d.ID, Endpoint: d.Endpoint, Account: d.Account, Event: d.Event, Type: d.Type,
				State: strings.ToUpper(string(d.State)), Attempts: d.Attempts, LastStatus: d.LastStatus, LastError: d.LastError,
				CreatedAt: d.CreatedAt, Replay: d.Replay}
			if d.State == store.DeliveryPending {
				row.NextAt = d.NextAt
			}
			rows = append(rows, row)
		}
		return err
	})
	return rows, err
}

// ReplayRow is one replay as `postern deliveries replays` shows it.
type ReplayRow struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Source    string    `json:"source"`
	Matched   int64     `json:"matched"`
	Done      int64     `json:"done"`
	Skipped   int64     `json:"skipped"`
	Reason    string    `json:"reason,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	DoneAt    time.Time `json:"done_at,omitzero"`
}

func replayRow(j *store.Job) ReplayRow {
	return ReplayRow{ID: j.ID, State: strings.ToUpper(string(j.State)), Source: string(j.Source), Matched: j.Matched, Done: j.Done,
		Skipped: j.Skipped, Reason: j.Reason, CreatedAt: j.CreatedAt, DoneAt: j.DoneAt}
}

// ListReplays lists replays, newest first.
func ListReplays(ctx context.Context, s store.Store) ([]ReplayRow, error) {
	rows := []ReplayRow{}
	err := s.View(ctx, func(tx store.Tx) error {
		rows = rows[:0]
		list, err := tx.Jobs(store.DateKey{}, store.MaxRecords)
		for _, j := range list {
			rows = append(rows, replayRow(j))
		}
		return err
	})
	return rows, err
}

// ReplayQuery writes what a replay is asked for as the socket takes it.
func ReplayQuery(in service.Replay) url.Values {
	q := FilterQuery(in.Filter)
	q.Set("source", string(in.Source))
	q.Set("to", in.To)
	q.Set("per_second", strconv.Itoa(in.PerSecond))
	q.Set("dry_run", strconv.FormatBool(in.DryRun))
	for _, s := range in.States {
		q.Add("states", string(s))
	}
	return q
}

// FilterQuery writes a filter as the socket takes it.
func FilterQuery(f store.DeliveryFilter) url.Values {
	q := url.Values{"endpoint": {f.Endpoint}, "account": {f.Account}, "state": {string(f.State)}, "type": {f.Type}}
	for name, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	return q
}

// CheckFilter refuses words that no delivery has.
func CheckFilter(f store.DeliveryFilter, states ...store.DeliveryState) error {
	for _, s := range append(states, f.State) {
		switch s {
		case "", store.DeliveryPending, store.DeliveryDelivered, store.DeliveryDead:
		default:
			return mail.Errorf(mail.KindInvalid, "read filter", "%q is no state: pending, delivered or dead", s)
		}
	}
	if f.Type != "" && !event.Type(f.Type).Valid() {
		return mail.Errorf(mail.KindInvalid, "read filter", "%q is no type of event", f.Type)
	}
	return nil
}

func readFilter(q url.Values) (f store.DeliveryFilter, err error) {
	f = store.DeliveryFilter{Endpoint: q.Get("endpoint"), Account: q.Get("account"), State: store.DeliveryState(q.Get("state")), Type: q.Get("type")}
	for name, t := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if text := q.Get(name); text != "" {
			if *t, err = time.Parse(time.RFC3339Nano, text); err != nil {
				return f, mail.Errorf(mail.KindInvalid, "read filter", "%s is no time: %s", name, text)
			}
		}
	}
	return f, nil
}

// serveDeliveries adds the commands about endpoints and deliveries.
func (g *Gateway) serveDeliveries(mux *http.ServeMux) {
	handle := func(pattern string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := fn(r)
			respond(w, v, err)
		})
	}
	handle("GET /endpoints", func(r *http.Request) (any, error) { return ListEndpoints(r.Context(), g.store) })
	for verb, enabled := range map[string]bool{"enable": true, "disable": false} {
		handle("POST /endpoints/{id}/"+verb, func(r *http.Request) (any, error) {
			e, err := g.hooks.UpdateEndpoint(r.Context(), webhook.Update{ID: r.PathValue("id"), Enabled: &enabled})
			if err != nil {
				return nil, err
			}
			return EndpointRow{ID: e.ID, URL: e.URL, State: strings.ToUpper(string(e.State)), Reason: e.Reason}, nil
		})
	}
	handle("GET /deliveries", func(r *http.Request) (any, error) {
		f, err := readFilter(r.URL.Query())
		if err != nil {
			return nil, err
		}
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			return nil, fmt.Errorf("read limit: %w", err)
		}
		return ListDeliveries(r.Context(), g.store, f, limit)
	})
	handle("POST /deliveries/replay", g.serveReplay)
	handle("GET /replays", func(r *http.Request) (any, error) { return ListReplays(r.Context(), g.store) })
	handle("POST /replays/{id}/cancel", func(r *http.Request) (any, error) {
		j, err := g.outbox.CancelJob(r.Context(), r.PathValue("id"))
		if err != nil {
			return nil, err
		}
		return replayRow(j), nil
	})
}

func (g *Gateway) serveReplay(r *http.Request) (any, error) {
	q := r.URL.Query()
	in := service.Replay{Source: store.JobSource(q.Get("source")), To: q.Get("to"), Wait: true}
	var err, bad error
	if in.Filter, err = readFilter(q); err != nil {
		return nil, err
	}
	in.PerSecond, err = strconv.Atoi(q.Get("per_second"))
	in.DryRun, bad = strconv.ParseBool(q.Get("dry_run"))
	if err := errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("read replay: %w", err)
	}
	for _, s := range q["states"] {
		in.States = append(in.States, store.DeliveryState(s))
	}
	j, err := replay(r.Context(), g.outbox, in)
	if err != nil {
		return nil, err
	}
	return replayRow(j), nil
}
