"""The ASGI edge: joins protocol and service. The only room with asyncio."""
