package scalar

import (
	"github.com/99designs/gqlgen/graphql"

	"github.com/postern-mail/postern/store"
)

// MarshalReplayState writes a replay's state.
func MarshalReplayState(s store.JobState) graphql.Marshaler { return write(s) }

// UnmarshalReplayState reads a replay's state.
func UnmarshalReplayState(v any) (store.JobState, error) { return read[store.JobState](v) }

// MarshalReplaySource writes what a replay reads.
func MarshalReplaySource(s store.JobSource) graphql.Marshaler { return write(s) }

// UnmarshalReplaySource reads what a replay reads.
func UnmarshalReplaySource(v any) (store.JobSource, error) { return read[store.JobSource](v) }
