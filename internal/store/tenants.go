package store

import "context"

// tenantsQuery steps from one tenant to the next in the index and reads no
// conversation.
const tenantsQuery = `WITH RECURSIVE each (tenant) AS (
	SELECT min(tenant) FROM conversations
	UNION ALL SELECT (SELECT min(tenant) FROM conversations WHERE tenant > each.tenant) FROM each WHERE each.tenant IS NOT NULL
) SELECT tenant FROM each WHERE tenant IS NOT NULL`

// Tenants lists the tenants that have conversations, by name.
func (s *Store) Tenants(ctx context.Context) ([]string, error) {
	return list(ctx, s.reader, scanOf[string], tenantsQuery)
}
