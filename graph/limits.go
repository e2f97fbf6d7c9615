package graph

import (
	"context"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// maxPage is the largest `first`.
const maxPage = 500

// smallCache keeps what belongs to queries of a usual size, so that a thousand of
// them fit into memory.
type smallCache[T any] struct{ graphql.Cache[T] }

// maxCached is the longest query that is kept, parsed or by its hash.
const maxCached = 16 << 10

// Add keeps a value under a key. One of the two is the query.
func (c smallCache[T]) Add(ctx context.Context, key string, value T) {
	query := key
	if text, ok := any(value).(string); ok {
		query = text
	}
	if len(query) <= maxCached {
		c.Cache.Add(ctx, key, value)
	}
}

// limits refuses operations that ask for too much, before anything runs.
type limits struct {
	server *Server
	schema graphql.ExecutableSchema
}

func (*limits) ExtensionName() string                     { return "Limits" }
func (*limits) Validate(_ graphql.ExecutableSchema) error { return nil }

// MutateOperationContext checks depth and complexity.
func (l *limits) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	s := l.server
	if depth := depthOf(op.Operation.SelectionSet); depth > s.opts.MaxDepth {
		return s.present(ctx, mail.Errorf(mail.KindTooLarge, "", "the operation is %d fields deep, and at most %d are allowed", depth, s.opts.MaxDepth))
	}
	if cost := complexity.Calculate(ctx, l.schema, op.Operation, op.Variables); cost > s.opts.MaxComplexity {
		return s.present(ctx, mail.Errorf(mail.KindTooLarge, "", "the operation has complexity %d, and at most %d is allowed: ask for fewer fields, or for less with first", cost, s.opts.MaxComplexity))
	}
	return nil
}

// depthOf measures how deep fields stand in each other. Introspection, whose
// types stand in types, has a limit of its own in the validator.
func depthOf(set ast.SelectionSet) int {
	deepest := 0
	for _, selection := range set {
		depth := 0
		switch sel := selection.(type) {
		case *ast.Field:
			if sel.Name == "__schema" || sel.Name == "__type" {
				continue
			}
			depth = 1 + depthOf(sel.SelectionSet)
		case *ast.InlineFragment:
			depth = depthOf(sel.SelectionSet)
		case *ast.FragmentSpread: // a circle of fragments did not pass validation
			depth = depthOf(sel.Definition.SelectionSet)
		}
		deepest = max(deepest, depth)
	}
	return deepest
}

// Costs of fields that read more than a record.
const (
	costContent = 10 // the message's bytes, perhaps from the provider
	costList    = 10 // what a list without `first` is taken to hold
)

// complexities are the costs of fields other than 1 and what is under them.
func complexities() generated.ComplexityRoot {
	var c generated.ComplexityRoot
	list := func(child int) int { return 1 + costList*child }
	content := func(child int) int { return costContent + child }

	c.Query.Accounts = func(child int, first *int, _ *string, _ *generated.AccountFilter) int {
		return page(child, first, 50)
	}
	c.Query.Events = func(child int, _ []string, _ []event.Type, _ *string, first *int, _ *bool) int {
		return page(child, first, 100)
	}
	c.Query.Deliveries = func(child int, first *int, _ *string, _ *store.DeliveryFilter) int {
		return page(child, first, 50)
	}
	c.Query.Endpoints = list
	c.Query.Providers = list
	c.Account.Mailboxes = list
	c.Account.Messages = func(child int, first *int, _ *string, _ *generated.MessageFilter) int {
		return page(child, first, 50)
	}
	c.Account.Threads = func(child int, first *int, _ *string) int { return page(child, first, 50) }
	c.Account.Search = func(child int, _ string, first *int, _ *string) int {
		return costContent + page(child, first, 50)
	}
	c.Mailbox.Messages = func(child int, first *int, _ *string, _ *generated.MessageFilter) int {
		return page(child, first, 50)
	}
	c.Thread.Messages = func(child int, first *int, _ *string) int { return page(child, first, 50) }
	c.Message.InReplyTo = content
	c.Message.References = content
	c.Message.Text = content
	c.Message.HTML = content
	c.Message.Truncated = content
	c.Message.Headers = func(child int, _ *string) int { return costContent + child }
	c.Message.Attachments = content
	c.Delivery.Attempts = list
	c.Endpoint.Accounts = list
	many := func(child int, ids []string) int { return 1 + max(1, len(ids))*child }
	c.Mutation.UpdateMessages = func(child int, ids []string, _, _, _, _ []string) int { return many(child, ids) }
	c.Mutation.MoveMessages = func(child int, ids []string, _ string) int { return many(child, ids) }
	c.Mutation.CopyMessages = func(child int, ids []string, _ string) int { return many(child, ids) }
	c.Mutation.DeleteMessages = func(child int, ids []string, _ *bool) int { return many(child, ids) }
	return c
}

// page is the cost of a connection. A `first` beyond the limit is refused by the
// resolver, in better words.
func page(child int, first *int, standard int) int {
	n := standard
	if first != nil {
		n = min(max(*first, 1), maxPage)
	}
	return 1 + n*child
}

// pageSize reads `first`.
func pageSize(first *int, standard int) (int, error) {
	switch {
	case first == nil:
		return standard, nil
	case *first < 1 || *first > maxPage:
		return 0, invalid("first is a number from 1 to %d", maxPage)
	}
	return *first, nil
}
