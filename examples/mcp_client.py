"""An MCP client: starts `orch mcp` as a server of its own, lists its tools, and calls one."""

import asyncio
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters

DOG = Path(__file__).parents[1] / "flows" / "media" / "dog.png"
ORCH = [sys.executable, "-m", "orchestrator.cli.main"]  # or simply `orch`, where it is on the path


async def progress(done: float, total: float | None, message: str | None) -> None:
    print(f"{done:.1f} of {total:.0f}: {message}")


async def main(picture: Path) -> None:
    command = [*ORCH, "mcp", "image -> text", "--root", str(picture.parent)]
    async with Client(StdioServerParameters(command=command[0], args=command[1:])) as client:
        for tool in (await client.list_tools()).tools:
            print(f"{tool.name}: {tool.description} Takes {', '.join(tool.input_schema['properties'])}.")
        result = await client.call_tool("image_to_text", {"image": str(picture)}, progress_callback=progress)
        print(result.structured_content["outputs"]["text"]["text"])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOG))
