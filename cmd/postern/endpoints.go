package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/postern-mail/postern/internal/gateway"
	"github.com/postern-mail/postern/store/bolt"
)

type endpointsCmd struct {
	List    endpointsListCmd    `cmd:"" help:"List the endpoints and what waits for them."`
	Enable  endpointsEnableCmd  `cmd:"" help:"Enable an endpoint: it gets what it is owed."`
	Disable endpointsDisableCmd `cmd:"" help:"Disable an endpoint: what it is owed waits."`
}

type endpointsListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (l endpointsListCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var rows []gateway.EndpointRow
	err = e.onStore(cfg, "GET", "/endpoints", &rows, func(s *bolt.Store) (err error) {
		rows, err = gateway.ListEndpoints(e.ctx, s)
		return err
	})
	if err != nil {
		return err
	}
	if l.JSON {
		return e.printJSON(rows)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "URL\tSTATE\tPENDING\tDEAD\tLAST SUCCESS\tID")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\n", r.URL, endpointState(r), r.Pending, r.Dead, local(r.LastSuccessAt), r.ID)
	}
	return w.Flush()
}

// endpointState is the API's word, and why.
func endpointState(r gateway.EndpointRow) string {
	state := strings.TrimSpace(r.State + " " + r.Reason)
	if !r.PausedUntil.IsZero() {
		state += ", paused until " + local(r.PausedUntil)
	}
	return state
}

type endpointsEnableCmd struct {
	ID string `arg:"" help:"The endpoint."`
}

func (c endpointsEnableCmd) Run(e *env) error { return e.switchEndpoint(c.ID, "enable") }

type endpointsDisableCmd struct {
	ID string `arg:"" help:"The endpoint."`
}

func (c endpointsDisableCmd) Run(e *env) error { return e.switchEndpoint(c.ID, "disable") }

func (e *env) switchEndpoint(id, verb string) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var row gateway.EndpointRow
	if err := e.onGateway(cfg, "POST", "/endpoints/"+pathID(id)+"/"+verb, &row); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "Endpoint %s (%s) is %s.\n", row.ID, row.URL, strings.ToLower(row.State))
	return nil
}

// pathID makes an id that was typed one part of a path.
func pathID(id string) string { return url.PathEscape(id) }
