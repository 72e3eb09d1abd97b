package judge

// Settle does at once what the cache does in the background.
func (c *Cache) Settle() { c.verdicts.CleanUp() }
