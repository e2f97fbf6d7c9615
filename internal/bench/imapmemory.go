package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// idlingClients is how many mail programs have the mailbox open at once.
const idlingClients = 10

// memoryRows measures what the gateway keeps in memory while mail programs
// have the mailbox open and idle, once what was asked before is given back.
func (m *imapMailbox) memoryRows(ctx context.Context) (rows []row, err error) {
	const limit = 200 << 20
	for range idlingClients {
		c, err := m.ours.login(ctx)
		if err != nil {
			return nil, err
		}
		tag, err := c.idle()
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		defer func() { err = errors.Join(err, c.done(tag), c.close()) }()
	}
	var all, own int64
	for i := range m.b.count(60, 1) {
		if err := pass(ctx, time.Duration(m.b.count(1000, 50))*time.Millisecond); err != nil {
			return nil, err
		}
		nowAll, nowOwn, err := memory(m.w.gateway.cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		if i == 0 || nowOwn < own {
			all, own = nowAll, nowOwn
		}
	}
	name := fmt.Sprintf("IMAP, %d messages: memory with %d idle clients", m.expected.n, idlingClients)
	return []row{
		{path: name, ours: float64(own) / (1 << 20), unit: "MiB", goal: "under 200", met: own < limit},
		{path: name + ", with pages of files", ours: float64(all) / (1 << 20), unit: "MiB"},
	}, nil
}
