"""What a tenant does about its subscription: checkout, portal, changes, cancelling, invoices."""
