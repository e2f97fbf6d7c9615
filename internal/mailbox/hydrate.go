package mailbox

import (
	"context"
)

// Hydrate brings what is missing of messages: their bytes where the provider
// alone has them, their exact size, the rows that IMAP tells, the header block
// and the text extract. It returns when all are here, or with the first error
// of those that could not be brought.
func (s *Service) Hydrate(ctx context.Context, ids []string) error {
	for _, id := range ids {
		blob, _, err := s.Raw(ctx, id)
		if err != nil {
			return err
		}
		if err := blob.Close(); err != nil {
			return err
		}
	}
	return nil
}
