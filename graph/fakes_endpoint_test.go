package graph_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/store"
)

func (f *fakes) Endpoints(context.Context) ([]*service.Endpoint, error) {
	err := f.called("Endpoints")
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.endpoints), err
}

func (f *fakes) find(id string) (*service.Endpoint, error) {
	for _, e := range f.endpoints {
		if e.ID == id {
			return e, nil
		}
	}
	return nil, store.ErrNotFound
}

func (f *fakes) CreateEndpoint(ctx context.Context, in service.EndpointInput) (*service.Endpoint, string, error) {
	if err := f.called("CreateEndpoint"); err != nil {
		return nil, "", err
	}
	f.created = in
	e := &service.Endpoint{ID: fmt.Sprintf("ep-%d", len(f.endpoints)+1), URL: in.URL, Description: in.Description, Events: in.Events,
		AccountIDs: in.Accounts, State: service.EndpointActive, Ordered: in.Ordered, Payload: in.Payload, Backfill: in.Backfill,
		Attempts: in.Attempts, CreatedAt: epoch0.Add(time.Duration(len(f.endpoints)) * time.Second), Signature: in.Signature, OnExhausted: in.OnExhausted,
		Keys: []service.EndpointKey{{ID: "key_1", Kind: in.Signature}, {ID: "key_2", Kind: service.SignatureEd25519, PublicKey: "whpk_x"}}}
	for _, h := range in.Headers {
		e.HeaderNames = append(e.HeaderNames, h.Name)
	}
	f.mu.Lock()
	f.endpoints = append(f.endpoints, e)
	f.mu.Unlock()
	return e, "whsec_new", f.w.store.Update(ctx, func(tx store.Tx) error {
		return tx.PutEndpoint(&store.Endpoint{ID: e.ID, Ordered: e.Ordered, CreatedAt: e.CreatedAt})
	})
}

func (f *fakes) UpdateEndpoint(_ context.Context, id string, ch service.EndpointChange) (*service.Endpoint, error) {
	if err := f.called("UpdateEndpoint"); err != nil {
		return nil, err
	}
	f.changed = ch
	e, err := f.find(id)
	if err == nil && ch.URL != nil {
		e.URL = *ch.URL
	}
	return e, err
}

func (f *fakes) DeleteEndpoint(_ context.Context, id string) error {
	if err := f.called("DeleteEndpoint"); err != nil {
		return err
	}
	if _, err := f.find(id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endpoints = slices.DeleteFunc(f.endpoints, func(e *service.Endpoint) bool { return e.ID == id })
	return nil
}

func (f *fakes) RotateSecret(_ context.Context, id string, how service.Rotation) (*service.Endpoint, string, error) {
	f.rotation = how
	e, err := f.find(id)
	if how.Signature == service.SignatureEd25519 {
		return e, "", err
	}
	return e, "whsec_rotated", err
}

func (f *fakes) ExpireKey(_ context.Context, id, key string) (*service.Endpoint, error) {
	e, err := f.find(id)
	if err == nil {
		e.Keys = slices.DeleteFunc(e.Keys, func(k service.EndpointKey) bool { return k.ID == key })
	}
	return e, err
}
