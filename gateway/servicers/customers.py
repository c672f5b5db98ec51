"""CustomersService: messages to use cases of the customers slice and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from cohortlens.customers.service import CustomersService
from cohortlens.v1 import customers_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.customers_mapping import (
    customer_message,
    fault_message,
    import_message,
    import_options,
)
from gateway.servicers.uploads import chunks, first_options


class CustomersServicer:
    """One method per RPC of ``cohortlens.v1.CustomersService``.

    Args:
        customers: The use cases.
    """

    def __init__(self, customers: CustomersService) -> None:
        self._customers = customers

    async def ImportTransactions(
        self, requests: AsyncIterator[pb.ImportTransactionsRequest], call: Call
    ) -> pb.ImportTransactionsResponse:
        """Store an upload (options first, then its bytes) and ask for its import.

        Raises:
            InvalidArgument: FIELD_INVALID for parts in the wrong order or too large; names the field.
        """
        options = import_options(await first_options(requests))
        stored = await self._customers.start_import(call.context, options, chunks(requests))
        return pb.ImportTransactionsResponse(**{"import": import_message(stored)})

    async def GetImport(self, request: pb.GetImportRequest, call: Call) -> pb.GetImportResponse:
        """One import."""
        found = await self._customers.get_import(call.context, UUID(getattr(request, "import")))
        return pb.GetImportResponse(**{"import": import_message(found)})

    async def ListImports(self, request: pb.ListImportsRequest, call: Call) -> pb.ListImportsResponse:
        """A page of imports, newest first."""
        page = await self._customers.list_imports(call.context, request.page_size, request.page_token)
        return pb.ListImportsResponse(
            imports=[import_message(found) for found in page.items], next_page_token=page.next_page_token
        )

    async def ListImportFaults(
        self, request: pb.ListImportFaultsRequest, call: Call
    ) -> pb.ListImportFaultsResponse:
        """A page of the refused rows of an import."""
        page = await self._customers.list_import_faults(
            call.context, UUID(getattr(request, "import")), request.page_size, request.page_token
        )
        return pb.ListImportFaultsResponse(
            faults=[fault_message(fault) for fault in page.items], next_page_token=page.next_page_token
        )

    async def GetCustomer(self, request: pb.GetCustomerRequest, call: Call) -> pb.GetCustomerResponse:
        """One customer."""
        found = await self._customers.get_customer(call.context, request.customer)
        return pb.GetCustomerResponse(customer=customer_message(found))

    async def BatchGetCustomers(
        self, request: pb.BatchGetCustomersRequest, call: Call
    ) -> pb.BatchGetCustomersResponse:
        """Customers by name, in one round trip."""
        found = await self._customers.get_customers(call.context, request.customers)
        return pb.BatchGetCustomersResponse(customers=[customer_message(one) for one in found])

    async def ListCustomers(self, request: pb.ListCustomersRequest, call: Call) -> pb.ListCustomersResponse:
        """A page of customers."""
        page = await self._customers.list_customers(call.context, request.page_size, request.page_token)
        return pb.ListCustomersResponse(
            customers=[customer_message(found) for found in page.items],
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def DeleteCustomer(
        self, request: pb.DeleteCustomerRequest, call: Call
    ) -> pb.DeleteCustomerResponse:
        """Erase a customer."""
        await self._customers.delete_customer(call.context, request.customer)
        return pb.DeleteCustomerResponse()
