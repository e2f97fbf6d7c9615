package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/gateway"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

type deliveriesCmd struct {
	List    deliveriesListCmd    `cmd:"" help:"List deliveries, newest first."`
	Replay  deliveriesReplayCmd  `cmd:"" help:"Make deliveries again, or give an endpoint what the journal holds."`
	Replays deliveriesReplaysCmd `cmd:"" help:"List the replays."`
	Cancel  deliveriesCancelCmd  `cmd:"" help:"Cancel a replay."`
}

// deliveryFilter are the flags that say which deliveries.
type deliveryFilter struct {
	Endpoint string `help:"Only those of this endpoint." placeholder:"ID"`
	Account  string `help:"Only those of this account." placeholder:"ID"`
	Type     string `help:"Only events of this type, such as message.created." placeholder:"TYPE"`
	Since    moment `help:"Only those owed at this time (2026-01-31T12:00:00Z) or later; 2h is two hours ago." placeholder:"TIME"`
	Until    moment `help:"Only those owed before this time." placeholder:"TIME"`
}

func (f deliveryFilter) filter() store.DeliveryFilter {
	return store.DeliveryFilter{Endpoint: f.Endpoint, Account: f.Account, Type: f.Type, Since: f.Since.Time, Until: f.Until.Time}
}

type deliveriesListCmd struct {
	deliveryFilter
	State string `help:"Only those that are pending, delivered or dead." placeholder:"STATE"`
	Limit int    `help:"How many at the most." default:"50"`
	JSON  bool   `help:"Print JSON."`
}

func (d deliveriesListCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	f := d.filter()
	f.State = store.DeliveryState(strings.ToLower(d.State))
	if err := gateway.CheckFilter(f); err != nil {
		return usageError{err}
	}
	if d.Limit < 1 || d.Limit > store.MaxRecords {
		return usageError{fmt.Errorf("--limit is between 1 and %d", store.MaxRecords)}
	}
	q := gateway.FilterQuery(f)
	q.Set("limit", fmt.Sprint(d.Limit))
	var rows []gateway.DeliveryRow
	err = e.onStore(cfg, "GET", "/deliveries?"+q.Encode(), &rows, func(s *bolt.Store) (err error) {
		rows, err = gateway.ListDeliveries(e.ctx, s, f, d.Limit)
		return err
	})
	if err != nil {
		return err
	}
	if d.JSON {
		return e.printJSON(rows)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "OWED\tTYPE\tSTATE\tATTEMPTS\tLAST ANSWER\tENDPOINT\tID")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", local(r.CreatedAt), r.Type, r.State, r.Attempts, answer(r), r.Endpoint, r.ID)
	}
	return w.Flush()
}

func answer(r gateway.DeliveryRow) string {
	switch {
	case r.LastError != "":
		return r.LastError
	case r.LastStatus != 0:
		return fmt.Sprint(r.LastStatus)
	}
	return "none"
}

func local(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}

type deliveriesReplayCmd struct {
	deliveryFilter
	State     []string `help:"Those that are pending, delivered or dead; may be given more than once. Default: dead; with --journal none, which is what was never owed." placeholder:"STATE"`
	Journal   bool     `help:"Read the journal: give --endpoint what it wants of it and was never owed."`
	To        string   `help:"Give it all to this endpoint." placeholder:"ID"`
	PerSecond int      `help:"How many a second. Default: as fast as the endpoints take them." placeholder:"N"`
	DryRun    bool     `help:"Only count."`
	JSON      bool     `help:"Print JSON."`
}

func (d deliveriesReplayCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	in := service.Replay{Source: store.JobDeliveries, Filter: d.filter(), To: d.To, PerSecond: d.PerSecond, DryRun: d.DryRun}
	if d.Journal {
		in.Source = store.JobJournal
	}
	for _, s := range d.State {
		in.States = append(in.States, store.DeliveryState(strings.ToLower(s)))
	}
	if err := gateway.CheckFilter(in.Filter, in.States...); err != nil {
		return usageError{err}
	}
	var row gateway.ReplayRow
	if err := e.onGateway(cfg, "POST", "/deliveries/replay?"+gateway.ReplayQuery(in).Encode(), &row); err != nil {
		return err
	}
	if d.JSON {
		return e.printJSON(row)
	}
	if d.DryRun {
		fmt.Fprintf(e.stdout, "%d would be put back. Nothing was changed.\n", row.Matched)
		return nil
	}
	e.printReplay(row)
	return nil
}

func (e *env) printReplay(r gateway.ReplayRow) {
	fmt.Fprintf(e.stdout, "Replay %s: %s, %d of %d put back", r.ID, strings.ToLower(r.State), r.Done, r.Matched)
	if r.Skipped > 0 {
		fmt.Fprintf(e.stdout, ", %d had changed", r.Skipped)
	}
	if r.Reason != "" {
		fmt.Fprintf(e.stdout, " (%s)", r.Reason)
	}
	fmt.Fprintln(e.stdout, ".")
}

type deliveriesReplaysCmd struct {
	JSON bool `help:"Print JSON."`
}

func (d deliveriesReplaysCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var rows []gateway.ReplayRow
	err = e.onStore(cfg, "GET", "/replays", &rows, func(s *bolt.Store) (err error) {
		rows, err = gateway.ListReplays(e.ctx, s)
		return err
	})
	if err != nil {
		return err
	}
	if d.JSON {
		return e.printJSON(rows)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ASKED FOR\tSTATE\tFOUND\tPUT BACK\tSKIPPED\tID\tREASON")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", local(r.CreatedAt), r.State, r.Matched, r.Done, r.Skipped, r.ID, r.Reason)
	}
	return w.Flush()
}

type deliveriesCancelCmd struct {
	ID string `arg:"" help:"The replay."`
}

func (d deliveriesCancelCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var row gateway.ReplayRow
	if err := e.onGateway(cfg, "POST", "/replays/"+pathID(d.ID)+"/cancel", &row); err != nil {
		return err
	}
	e.printReplay(row)
	return nil
}

// onGateway asks the running gateway for what only it can do.
func (e *env) onGateway(cfg *config.Config, method, path string, out any) error {
	err := gateway.Call(e.ctx, cfg, method, path, out)
	if errors.Is(err, gateway.ErrNotRunning) {
		return fmt.Errorf("%w: start it first", gateway.ErrNotRunning)
	}
	return err
}
